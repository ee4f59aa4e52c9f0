"""The weight of every token in the loss. Legend: T completion tokens, flat, sequence after sequence; S sequences.

All averaging is in these weights: a sum over tokens, divided by a number that is made from counts over the whole
optimizer step, with all its micro-batches and ranks. So a step's loss is the sum of its micro-batches' losses, for
every split and every order. The learner adds up gradients before the counts are known, and divides once at the end.
Counts below 1 are taken as 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class StepCounts:
    """The counts that the averages divide by.

    As in TRL with `mask_truncated_completions`, masked sequences count in `num_sequences`, so that the other sequences
    do not weigh more. Their tokens do not count in `num_tokens`, so that the other tokens weigh more.
    """

    num_sequences: int
    num_tokens: int
    max_completion_tokens: int


@dataclass(frozen=True)
class Aggregation:
    """A rule for averages: the weight of a token is `of_token` / `divisor`."""

    of_token: Callable[[Float[Tensor, "S"]], Float[Tensor, "S"]]
    """A function from lengths [S] in float64 to the undivided weight [S] of one token of each sequence."""
    divisor: Callable[[StepCounts], int]
    """A function from the counts of the step to the number that all weights are divided by."""


sequence_mean = Aggregation(lambda lengths: 1 / lengths, lambda counts: max(counts.num_sequences, 1))
"""The mean over a sequence's tokens, then over sequences: 1 / (num_sequences * length).

Source: DeepSeekMath (arXiv 2402.03300, equation 3).
"""

token_mean = Aggregation(torch.ones_like, lambda counts: max(counts.num_tokens, 1))
"""The mean over all tokens of the step: 1 / num_tokens. Source: DAPO (arXiv 2503.14476, equation 8)."""

constant_length_mean = Aggregation(
    torch.ones_like, lambda counts: max(counts.num_sequences, 1) * counts.max_completion_tokens
)
"""The sum over a sequence's tokens, divided by a constant: 1 / (num_sequences * max_completion_tokens).

Source: Dr. GRPO (arXiv 2503.20783, section 3.2).
"""


def token_weights(
    lengths: Int[Tensor, "S"],
    aggregation: Aggregation,
    counts: StepCounts | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "T"]:
    """Return the weight [T] of every token of sequences with `lengths` [S] tokens; undivided without `counts`."""
    weights = aggregation.of_token(lengths.to(torch.float64)) / (aggregation.divisor(counts) if counts else 1)
    return weights.repeat_interleave(lengths).to(dtype)
