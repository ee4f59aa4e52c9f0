"""A policy gradient that becomes smoothly smaller as the ratio moves away from 1, in place of a hard clip."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlaa_ray.algorithms.losses.base import PolicyLoss, PolicyTerm
from vlaa_ray.config.grpo import GrpoSection


@dataclass(frozen=True, kw_only=True)
class SoftGate(PolicyLoss):
    """The loss -(4 / t) · sigmoid(t · (r - 1)) · A with r = exp(policy - old logprob).

    t is `temperature_positive` where A > 0, else `temperature_negative`: a larger t fades faster. At r = 1 the
    gradient is that of the plain ratio. Nothing is clipped, so no token counts as clipped.

    Source: SAPO (arXiv 2511.20347; temperatures 1.0 and 1.05). Compared with TRL 1.16,
    `GRPOTrainer._compute_loss` with loss_type "sapo".
    """

    temperature_positive: float
    temperature_negative: float

    @classmethod
    def from_config(cls, grpo: GrpoSection) -> "PolicyLoss":
        """See `PolicyLoss`."""
        gate = grpo.soft_gate
        return cls(temperature_positive=gate.temperature_positive, temperature_negative=gate.temperature_negative)

    def term(
        self,
        policy_logprobs: Float[Tensor, "A"],
        old_logprobs: Float[Tensor, "A"],
        advantages: Float[Tensor, "A"],
        sequences: Int[Tensor, "A"],
    ) -> PolicyTerm:
        """See `PolicyLoss`."""
        ratio = torch.exp(policy_logprobs - old_logprobs)
        temperature = torch.where(advantages > 0, self.temperature_positive, self.temperature_negative).to(ratio)
        nowhere = torch.zeros_like(ratio, dtype=torch.bool)
        return PolicyTerm(
            loss=-(4 / temperature) * torch.sigmoid(temperature * (ratio - 1)) * advantages,
            ratio=ratio,
            clipped_low=nowhere,
            clipped_high=nowhere,
        )
