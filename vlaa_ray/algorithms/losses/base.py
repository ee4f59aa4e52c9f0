"""The common part of all policy losses: a weighted SUM over tokens, with an optional KL term.

Legend: T completion tokens, flat, sequence after sequence; A of them have a weight; S sequences.

A sequence is never split between two calls, so losses may compare a sequence's tokens with each other.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vlaa_ray.algorithms.kl import KlKind, kl_estimate
from vlaa_ray.config.grpo import GrpoSection
from vlaa_ray.errors import LearnerError


@dataclass(frozen=True, kw_only=True)
class PolicyTerm:
    """The contribution of each token to a loss, before weights, importance weights and KL."""

    loss: Float[Tensor, "A"]
    """The loss of each token, with its gradient."""
    ratio: Float[Tensor, "A"]
    """The probability ratio, policy over old policy, that the loss works with: a token's or its sequence's."""
    clipped_low: Bool[Tensor, "A"]
    """True where the lower limit takes effect."""
    clipped_high: Bool[Tensor, "A"]
    """True where the upper limit takes effect."""


@dataclass(frozen=True, kw_only=True)
class LossResult:
    """One micro-batch's share of the step's loss, and detached float64 sums over its tokens that have a weight."""

    loss: Float[Tensor, ""]
    """The loss with its gradient; it must be summed over micro-batches and ranks, never averaged."""
    num_tokens: Float[Tensor, ""]
    """The number of tokens that have a weight."""
    num_clipped_low: Float[Tensor, ""]
    num_clipped_high: Float[Tensor, ""]
    ratio_max: Float[Tensor, ""]
    """The largest probability ratio; 0 without any token."""
    kl_sum: Float[Tensor, ""]
    """The sum of `kl_estimate`, in nats; 0 without a reference."""


class PolicyLoss(ABC):
    """A loss of the policy. Subclasses define the contribution of one token; `__call__` sums them."""

    @classmethod
    @abstractmethod
    def from_config(cls, grpo: GrpoSection) -> "PolicyLoss":
        """Return the loss with the settings of the config."""

    @abstractmethod
    def term(
        self,
        policy_logprobs: Float[Tensor, "A"],
        old_logprobs: Float[Tensor, "A"],
        advantages: Float[Tensor, "A"],
        sequences: Int[Tensor, "A"],
    ) -> PolicyTerm:
        """Return the contribution of each token.

        `old_logprobs` have no gradient. `advantages` holds each sequence's advantage at all of its tokens, and
        `sequences` the number of each token's sequence, from 0.
        """

    def __call__(
        self,
        policy_logprobs: Float[Tensor, "T"],
        old_logprobs: Float[Tensor, "T"],
        advantages: Float[Tensor, "T"],
        weights: Float[Tensor, "T"],
        sequences: Int[Tensor, "T"],
        *,
        importance_weights: Float[Tensor, "T"] | None = None,
        ref_logprobs: Float[Tensor, "T"] | None = None,
        kl_coefficient: float = 0.0,
        kl_kind: KlKind = "k3",
    ) -> LossResult:
        """Return the sum over tokens of w · (i · term + kl_coefficient · KL), and its statistics.

        w is `weights`, i `importance_weights` (1 where None), term what `term` returns, KL the estimate in
        nats. Only `policy_logprobs` gets a gradient. Tokens of weight 0 are left out before any arithmetic:
        nothing that they hold, NaN included, reaches the loss or the gradient. Without any token the loss is
        0, with a gradient of 0.

        Raises:
            LearnerError: there is a KL coefficient and no `ref_logprobs`.

        """
        if kl_coefficient and ref_logprobs is None:
            raise LearnerError("a KL term needs the reference's logprobs", kl_coefficient=kl_coefficient)
        active = weights != 0
        policy = policy_logprobs[active]
        term = self.term(policy, old_logprobs[active].detach(), advantages[active], sequences[active])
        token_loss = term.loss
        if importance_weights is not None:
            token_loss = token_loss * importance_weights[active]
        kl = torch.zeros_like(policy) if ref_logprobs is None else kl_estimate(policy, ref_logprobs[active], kl_kind)
        if kl_coefficient:
            token_loss = token_loss + kl_coefficient * kl
        return LossResult(
            loss=(token_loss * weights[active]).sum(),
            num_tokens=_total(active),
            num_clipped_low=_total(term.clipped_low),
            num_clipped_high=_total(term.clipped_high),
            ratio_max=torch.cat([term.ratio.detach().double(), torch.zeros(1).to(term.ratio).double()]).max(),
            kl_sum=_total(kl),
        )


@dataclass(frozen=True, kw_only=True)
class ClippingLoss(PolicyLoss):
    """A policy loss with two limits of the probability ratio, 1 - clip_low and 1 + clip_high."""

    clip_low: float
    clip_high: float

    @classmethod
    def from_config(cls, grpo: GrpoSection) -> "PolicyLoss":
        """See `PolicyLoss`."""
        return cls(clip_low=grpo.clip_low, clip_high=grpo.clip_high)


def truncated_importance_weights(
    old_logprobs: Float[Tensor, "T"], rollout_logprobs: Float[Tensor, "T"], cap: float
) -> Float[Tensor, "T"]:
    """Return min(exp(old - rollout logprob), cap), without gradient: learner over engine, for stale samples.

    Source: Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025);
    TRL's `vllm_importance_sampling_mode="token_truncate"` with that maximum and no minimum.
    """
    return torch.exp(old_logprobs.detach() - rollout_logprobs.detach()).clamp(max=cap)


def _total(values: Tensor) -> Tensor:
    return values.detach().sum(dtype=torch.float64)
