"""The clipped surrogate with one ratio for a whole sequence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlaa_ray.algorithms.losses.base import ClippingLoss, PolicyTerm
from vlaa_ray.algorithms.losses.clipped_ratio import clipped_surrogate


class ClippedSequenceRatio(ClippingLoss):
    """The loss -min(s · A, clip(s, 1 - clip_low, 1 + clip_high) · A), the same at all tokens of a sequence.

    s = exp(mean over the sequence's tokens of policy - old logprob), the geometric mean of its token ratios.
    A sequence is clipped as a whole: all its tokens count as clipped. s changes far less than a token's ratio, so
    the limits in the paper are only 3e-4 and 4e-4.

    Source: GSPO (arXiv 2507.18071, equations 5 and 7; limits in section 5.1). Compared with TRL 1.16,
    `GRPOTrainer._compute_loss` with `importance_sampling_level="sequence"`.
    """

    def term(
        self,
        policy_logprobs: Float[Tensor, "A"],
        old_logprobs: Float[Tensor, "A"],
        advantages: Float[Tensor, "A"],
        sequences: Int[Tensor, "A"],
    ) -> PolicyTerm:
        """See `PolicyLoss`."""
        _, index, lengths = torch.unique(sequences, return_inverse=True, return_counts=True)
        log_ratio = policy_logprobs - old_logprobs
        sums = torch.zeros(len(lengths), dtype=log_ratio.dtype, device=log_ratio.device).index_add(0, index, log_ratio)
        ratio = torch.exp(sums / lengths)[index]
        return clipped_surrogate(ratio, advantages, self.clip_low, self.clip_high)
