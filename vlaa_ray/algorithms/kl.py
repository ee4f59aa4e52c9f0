"""KL(policy || reference) per token, and the coefficient that controls it. Legend: T completion tokens, flat.

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
"""The limit of |KL / target - 1| in the controller, so that one unusual batch can't change the coefficient much."""


def kl_estimate(
    policy_logprobs: Float[Tensor, "T"], ref_logprobs: Float[Tensor, "T"], kind: KlKind
) -> Float[Tensor, "T"]:
    """Return an estimate of KL(policy || reference) at each token, in nats. With d = policy - ref logprob:

    - k1 = d: no bias, high variance, may be negative
    - k2 = d² / 2: biased, never negative
    - k3 = exp(-d) - 1 + d: no bias, never negative (what GRPO uses: arXiv 2402.03300, equation 4)

    As a loss term on samples of the policy, k2 has the gradient of the true KL. Without a weight by the probability
    ratio, the gradient of k1 is 0 in expectation, and that of k3 is the gradient of KL(reference || policy).
    """
    difference = policy_logprobs - ref_logprobs
    if kind == "k1":
        return difference
    if kind == "k2":
        return difference.square() / 2
    return torch.expm1(-difference) + difference


@dataclass(frozen=True, kw_only=True)
class AdaptiveKl:
    """The KL coefficient of the loss; it is constant where `target` is None."""

    coefficient: float
    target: float | None = None
    """The KL per token, in nats, that the controller aims at."""
    horizon: float = 10_000.0
    """The number of samples over which the coefficient adapts."""

    def updated(self, kl: float, num_samples: int) -> "AdaptiveKl":
        """Return the controller after a step of `num_samples` samples whose mean KL per token was `kl`.

            coefficient *= 1 + clip(kl / target - 1, -0.2, 0.2) * num_samples / horizon

        Difference from OpenRLHF: num_samples / horizon is at most 1 here; above 5 the coefficient could become
        negative.

        Raises:
            LearnerError: `kl` is NaN.

        """
        if self.target is None:
            return self
        if math.isnan(kl):
            fix = "resume from the last checkpoint with a lower learning rate"
            raise LearnerError("the step's KL is NaN", expected="a number", fix=fix)
        error = min(max(kl / self.target - 1, -MAX_KL_ERROR), MAX_KL_ERROR)
        return replace(self, coefficient=self.coefficient * (1 + error * min(num_samples / self.horizon, 1)))
