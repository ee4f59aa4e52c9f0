"""The clipped surrogate of PPO, token by token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlaa_ray.algorithms.losses.base import ClippingLoss, PolicyTerm


def clipped_surrogate(
    ratio: Float[Tensor, "A"], advantages: Float[Tensor, "A"], clip_low: float, clip_high: float
) -> PolicyTerm:
    """Return -min(r · A, clip(r, 1 - clip_low, 1 + clip_high) · A) for ratios r.

    A clipped token has no gradient: its ratio is below the lower limit and its advantage negative, or above the
    upper limit and its advantage positive.
    """
    return PolicyTerm(
        loss=-torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages),
        ratio=ratio,
        clipped_low=(ratio < 1 - clip_low) & (advantages < 0),
        clipped_high=(ratio > 1 + clip_high) & (advantages > 0),
    )


class ClippedRatio(ClippingLoss):
    """The loss -min(r · A, clip(r, 1 - clip_low, 1 + clip_high) · A) with r = exp(policy - old logprob).

    Source: DeepSeekMath (arXiv 2402.03300, equation 3); DAPO (arXiv 2503.14476, equation 8) for two limits.
    Compared with TRL 1.16, `GRPOTrainer._compute_loss`, loss_type "grpo", "dapo" and "dr_grpo".
    """

    def term(
        self,
        policy_logprobs: Float[Tensor, "A"],
        old_logprobs: Float[Tensor, "A"],
        advantages: Float[Tensor, "A"],
        sequences: Int[Tensor, "A"],
    ) -> PolicyTerm:
        """See `PolicyLoss`."""
        ratio = torch.exp(policy_logprobs - old_logprobs)
        return clipped_surrogate(ratio, advantages, self.clip_low, self.clip_high)
