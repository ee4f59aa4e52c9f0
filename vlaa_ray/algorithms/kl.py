"""KL(policy || reference) per token, and the coefficient that steers it. Legend: T completion tokens, flat.

Source: J. Schulman, "Approximating KL divergence" (2020), for k1, k2 and k3, with samples from the policy;
OpenRLHF's adaptive controller (after Ziegler et al., arXiv 1909.08593, section 2.2), which VLAA-Thinking was
trained with: initial coefficient 1e-3 and target 5e-4 are the paper's, horizon 10,000 is OpenRLHF's default.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vlaa_ray.errors import LearnerError

KlKind = Literal["k1", "k2", "k3"]

MAX_KL_ERROR = 0.2
"""Bounds (KL / target - 1) in the controller, so that one odd batch can't throw the coefficient."""


def kl_estimate(
    policy_logprobs: Float[Tensor, "T"], ref_logprobs: Float[Tensor, "T"], kind: KlKind
) -> Float[Tensor, "T"]:
    """An estimate of KL(policy || reference) at each token, in nats; with d = policy - ref logprob:

    - k1 = d: no bias, high variance, may be negative
    - k2 = d² / 2: biased, never negative
    - k3 = exp(-d) - 1 + d: no bias, never negative (what GRPO uses: arXiv 2402.03300, equation 4)

    As a loss term on policy samples, k2 has the gradient of the true KL; k1 has none in expectation, and
    k3 that of KL(reference || policy), unless they are weighted by the ratio (see `loss.grpo_loss`).
    """
    difference = policy_logprobs - ref_logprobs
    if kind == "k1":
        return difference
    if kind == "k2":
        return difference.square() / 2
    return torch.expm1(-difference) + difference


@dataclass(frozen=True, kw_only=True)
class AdaptiveKl:
    """The KL coefficient of the loss; fixed where `target` is None. A checkpoint needs `coefficient` only."""

    coefficient: float
    target: float | None = None
    """The KL per token, in nats, to hold."""
    horizon: float = 10_000.0
    """Samples."""

    def updated(self, kl: float, num_samples: int) -> "AdaptiveKl":
        """The controller after a step of `num_samples` samples whose mean KL per token was `kl`.

        coefficient *= 1 + clip(kl / target - 1, -0.2, 0.2) * num_samples / horizon

        Difference from OpenRLHF: num_samples / horizon is at most 1 here; beyond 5 it would turn the
        coefficient negative. Raises LearnerError if `kl` is NaN.
        """
        if self.target is None:
            return self
        if math.isnan(kl):
            raise LearnerError("the step's KL is NaN", expected="a number", fix="look at the step's logprobs")
        error = min(max(kl / self.target - 1, -MAX_KL_ERROR), MAX_KL_ERROR)
        return replace(self, coefficient=self.coefficient * (1 + error * min(num_samples / self.horizon, 1)))
