"""The loss of supervised fine-tuning. Legend: T completion tokens, flat."""

from jaxtyping import Float
from torch import Tensor


def sft_loss(policy_logprobs: Float[Tensor, "T"], weights: Float[Tensor, "T"]) -> Float[Tensor, ""]:
    """Return the sum of -weight · logprob: the mean negative log-likelihood where the weights are 1 / num_tokens.

    Tokens of weight 0 are left out before any arithmetic, so they may hold NaN.
    """
    active = weights != 0
    return -(policy_logprobs[active] * weights[active]).sum()
