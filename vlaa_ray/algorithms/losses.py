"""The clipped surrogate with a KL term, as a weighted SUM over tokens, and the weights that make it a mean.

Legend: T completion tokens, flat, sequence after sequence; S sequences.

All of the averaging is in the weights, made from counts over the whole optimizer step. A step's loss is then
the sum of its micro-batches' losses on all ranks, whatever the split and the order.

Source: DeepSeekMath (arXiv 2402.03300, equation 3), DAPO (arXiv 2503.14476, equation 8: token mean, two clip
limits), Dr. GRPO (arXiv 2503.20783: constant length). Compared with TRL 1.16,
`GRPOTrainer._compute_loss`: same loss and gradient for loss_type "grpo", "dapo" and "dr_grpo".
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vlaa_ray.algorithms.kl import KlKind, kl_estimate
from vlaa_ray.errors import LearnerError

Aggregation = Literal["grpo", "dapo", "dr_grpo"]


@dataclass(frozen=True, kw_only=True)
class LossResult:
    """One micro-batch's share of the step's loss, and detached float64 sums to add up over micro-batches and ranks."""

    loss: Float[Tensor, ""]
    """Has the gradient; add up, never average."""
    num_tokens: Float[Tensor, ""]
    """Tokens with a weight: what the sums below are over."""
    num_clipped_low: Float[Tensor, ""]
    """Tokens without a policy gradient: ratio below 1 - clip_low, advantage negative."""
    num_clipped_high: Float[Tensor, ""]
    """The same: ratio above 1 + clip_high, advantage positive."""
    kl_sum: Float[Tensor, ""]
    """Of `kl_estimate`; 0 without a reference."""


def token_weights(
    lengths: Int[Tensor, "S"],
    kind: Aggregation,
    *,
    num_sequences: int,
    num_tokens: int,
    max_completion_tokens: int,
    kept: Bool[Tensor, "S"] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "T"]:
    """The weight of every token of sequences of `lengths` tokens:

    - grpo: 1 / (num_sequences * length of its sequence)
    - dapo: 1 / num_tokens
    - dr_grpo: 1 / (num_sequences * max_completion_tokens)

    `kept` is False for sequences masked as overlong: their tokens weigh 0. The counts are of the whole
    optimizer step, all micro-batches and ranks. As in TRL with `mask_truncated_completions`, masked
    sequences do count in `num_sequences` (grpo, dr_grpo: the others don't weigh more), and their tokens
    don't count in `num_tokens` (dapo: the others do). Counts below 1 are taken as 1.
    """
    sequences, lengths_f = max(num_sequences, 1), lengths.to(torch.float64)
    if kind == "grpo":
        per_sequence = 1 / (sequences * lengths_f)
    elif kind == "dapo":
        per_sequence = torch.full_like(lengths_f, 1 / max(num_tokens, 1))
    else:
        per_sequence = torch.full_like(lengths_f, 1 / (sequences * max_completion_tokens))
    if kept is not None:
        per_sequence = per_sequence * kept
    return per_sequence.repeat_interleave(lengths).to(dtype)


def truncated_importance_weights(
    old_logprobs: Float[Tensor, "T"], rollout_logprobs: Float[Tensor, "T"], cap: float
) -> Float[Tensor, "T"]:
    """min(exp(old - rollout logprob), cap), without gradient: learner over engine, for samples of older weights.

    Source: Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025);
    TRL's `vllm_importance_sampling_mode="token_truncate"` with that maximum and no minimum.
    """
    return torch.exp(old_logprobs.detach() - rollout_logprobs.detach()).clamp(max=cap)


def grpo_loss(
    policy_logprobs: Float[Tensor, "T"],
    old_logprobs: Float[Tensor, "T"],
    advantages: Float[Tensor, "T"],
    weights: Float[Tensor, "T"],
    *,
    clip_low: float,
    clip_high: float,
    importance_weights: Float[Tensor, "T"] | None = None,
    ref_logprobs: Float[Tensor, "T"] | None = None,
    kl_coefficient: float = 0.0,
    kl_kind: KlKind = "k3",
    kl_ratio_weighted: bool = False,
) -> LossResult:
    """Sum over tokens of w · (-i · min(r · A, clip(r, 1 - clip_low, 1 + clip_high) · A) + kl_coefficient · KL).

    w is `weights`, A `advantages` (each sequence's, at all of its tokens), i `importance_weights` (1 where
    None), r = exp(policy - old). Only `policy_logprobs` gets a gradient. `kl_ratio_weighted` multiplies KL
    by r, as TRL does unless `use_bias_correction_kl=False`: it turns the gradient of k1 and k3 into that of
    the true KL (DeepSeek-V3.2, arXiv 2512.02556); the VLAA-Thinking paper's trainer doesn't.

    Tokens of weight 0 are left out before any arithmetic: nothing that they hold, NaN included, reaches the
    loss or the gradient. Without any token the loss is 0, with a gradient of 0.

    Raises LearnerError if there is a KL coefficient and no `ref_logprobs`.
    """
    if kl_coefficient and ref_logprobs is None:
        raise LearnerError("a KL term needs the reference's logprobs", kl_coefficient=kl_coefficient)
    active = weights != 0
    policy, old, advantage, weight = policy_logprobs[active], old_logprobs[active], advantages[active], weights[active]
    ratio = torch.exp(policy - old.detach())
    token_loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)
    if importance_weights is not None:
        token_loss = token_loss * importance_weights[active]
    kl = torch.zeros_like(policy) if ref_logprobs is None else kl_estimate(policy, ref_logprobs[active], kl_kind)
    if kl_coefficient:
        token_loss = token_loss + kl_coefficient * (kl * ratio if kl_ratio_weighted else kl)
    return LossResult(
        loss=(token_loss * weight).sum(),
        num_tokens=_total(active),
        num_clipped_low=_total((ratio < 1 - clip_low) & (advantage < 0)),
        num_clipped_high=_total((ratio > 1 + clip_high) & (advantage > 0)),
        kl_sum=_total(kl),
    )


def sft_loss(policy_logprobs: Float[Tensor, "T"], weights: Float[Tensor, "T"]) -> Float[Tensor, ""]:
    """-(weights · logprobs) summed: the mean negative log-likelihood per token with `token_weights(kind="dapo")`.

    Tokens of weight 0 are left out, as in `grpo_loss`.
    """
    active = weights != 0
    return -(policy_logprobs[active] * weights[active]).sum()


def _total(values: Tensor) -> Tensor:
    return values.detach().sum(dtype=torch.float64)
