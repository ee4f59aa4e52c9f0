"""The weight of every token in the loss. Legend: T completion tokens, flat, sequence after sequence; S sequences.

All averaging is in these weights. They are made from counts over the whole optimizer step, with all its
micro-batches and ranks. So a step's loss is the sum of its micro-batches' losses, for every split and every order.
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


Aggregation = Callable[[Float[Tensor, "S"], StepCounts], Float[Tensor, "S"]]
"""A function from (lengths [S] in float64, counts) to the weight [S] of one token of each sequence."""


def sequence_mean(lengths: Float[Tensor, "S"], counts: StepCounts) -> Float[Tensor, "S"]:
    """Return 1 / (num_sequences * length): the mean over a sequence's tokens, then over sequences.

    Source: DeepSeekMath (arXiv 2402.03300, equation 3).
    """
    return 1 / (max(counts.num_sequences, 1) * lengths)


def token_mean(lengths: Float[Tensor, "S"], counts: StepCounts) -> Float[Tensor, "S"]:
    """Return 1 / num_tokens: the mean over all tokens of the step.

    Source: DAPO (arXiv 2503.14476, equation 8).
    """
    return torch.full_like(lengths, 1 / max(counts.num_tokens, 1))


def constant_length_mean(lengths: Float[Tensor, "S"], counts: StepCounts) -> Float[Tensor, "S"]:
    """Return 1 / (num_sequences * max_completion_tokens): the sum over a sequence's tokens, divided by a constant.

    Source: Dr. GRPO (arXiv 2503.20783, section 3.2).
    """
    return torch.full_like(lengths, 1 / (max(counts.num_sequences, 1) * counts.max_completion_tokens))


def token_weights(
    lengths: Int[Tensor, "S"], aggregation: Aggregation, counts: StepCounts, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "T"]:
    """Return the weight [T] of every token of sequences with `lengths` [S] tokens."""
    return aggregation(lengths.to(torch.float64), counts).repeat_interleave(lengths).to(dtype)
