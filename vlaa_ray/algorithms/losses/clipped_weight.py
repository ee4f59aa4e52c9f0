"""A policy gradient whose importance weight is clipped, so that no token loses its gradient."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlaa_ray.algorithms.losses.base import ClippingLoss, PolicyTerm


class ClippedWeight(ClippingLoss):
    """The loss -clip(r, 1 - clip_low, 1 + clip_high) · A · policy logprob; the clipped r has no gradient.

    r = exp(policy - old logprob). A token counts as clipped where its weight is cut, for either sign of its
    advantage. With `clip_low` 1 there is no lower limit.

    Source: CISPO in MiniMax-M1 (arXiv 2506.13585, equations 4 and 5), which has no lower limit and does not publish
    the upper one; ScaleRL (arXiv 2510.13786) cuts at a weight of 5, which is `clip_high` 4. Compared with TRL
    1.16, `GRPOTrainer._compute_loss` with loss_type "cispo"; its `epsilon_high` is 1 + `clip_high`.
    """

    def term(
        self,
        policy_logprobs: Float[Tensor, "A"],
        old_logprobs: Float[Tensor, "A"],
        advantages: Float[Tensor, "A"],
        sequences: Int[Tensor, "A"],
    ) -> PolicyTerm:
        """See `PolicyLoss`."""
        ratio = torch.exp(policy_logprobs.detach() - old_logprobs)
        lowest, highest = 1 - self.clip_low, 1 + self.clip_high
        return PolicyTerm(
            loss=-ratio.clamp(lowest, highest) * advantages * policy_logprobs,
            ratio=ratio,
            clipped_low=ratio < lowest,
            clipped_high=ratio > highest,
        )
