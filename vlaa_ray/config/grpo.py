"""The objective: advantages, the loss and its clipping, and the KL term; with presets of published methods."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from vlaa_ray.config.sections import Section

AdvantageName = Literal["std", "mean_only", "rloo", "reinforce_pp", "reinforce_pp_baseline"]
LossName = Literal["clipped", "gspo", "cispo", "sapo"]
AggregationName = Literal["grpo", "dapo", "dr_grpo"]


class KlSection(Section):
    """The KL term of the loss: a penalty for leaving the reference policy."""

    coefficient: float = Field(0.0, ge=0)
    """Weight of the KL term in the loss; 0 needs no reference policy."""
    target: float | None = Field(None, gt=0)
    """KL in nats for each token that the coefficient is adapted towards; null keeps the coefficient fixed."""
    horizon: float = Field(10_000, gt=0)
    """Samples over which the coefficient adapts: it moves by at most 0.2 · samples / horizon a step."""
    estimator: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of the KL from the sampled tokens, by the names of Schulman's note (2020)."""


class SoftGateSection(Section):
    """The temperatures of the loss `sapo`: a larger one lets a token's gradient fade faster as its ratio leaves 1."""

    temperature_positive: float = Field(1.0, gt=0)
    """Temperature for tokens whose advantage is positive (the paper's: 1.0)."""
    temperature_negative: float = Field(1.05, gt=0)
    """Temperature for tokens whose advantage is not positive (the paper's: 1.05)."""


GRPO_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "aggregation": "grpo",
        "advantage": "std",
        "kl": {"coefficient": 1e-3, "target": 5e-4},
    },
    "dapo": {
        "aggregation": "dapo",
        "advantage": "std",
        "clip_high": 0.28,
        "resample_zero_variance": True,
        "mask_overlong": True,
    },
    "dr_grpo": {"aggregation": "dr_grpo", "advantage": "mean_only"},
    "rloo": {"advantage": "rloo", "aggregation": "dr_grpo"},
    "reinforce_pp": {"advantage": "reinforce_pp", "aggregation": "dapo"},
    "reinforce_pp_baseline": {
        "advantage": "reinforce_pp_baseline",
        "aggregation": "dapo",
        "kl": {"estimator": "k2"},  # without a coefficient there is no KL term
    },
    "gspo": {"loss": "gspo", "aggregation": "grpo", "clip_low": 3e-4, "clip_high": 4e-4},
    "cispo": {"loss": "cispo", "aggregation": "dapo", "clip_low": 1.0, "clip_high": 4.0},
    "sapo": {"loss": "sapo", "aggregation": "grpo"},
}
"""The keys that a preset sets in place of the defaults; keys that a config sets beside `preset` take precedence."""


class GrpoSection(Section):
    """The objective: how rewards become a gradient."""

    preset: (
        Literal["paper", "dapo", "dr_grpo", "rloo", "reinforce_pp", "reinforce_pp_baseline", "gspo", "cispo", "sapo"]
        | None
    ) = None
    """A published method whose settings take the place of the defaults below; null for the defaults."""
    advantage: AdvantageName = "std"
    """Advantage of a sample from the rewards r: (r - mean) / (std + 1e-4) of its group (std), r - mean (mean_only), r
    minus the mean of the group's other samples (rloo), r normalised over the whole batch (reinforce_pp), or r - mean of
    the group, divided by the std over the batch (reinforce_pp_baseline)."""
    loss: LossName = "clipped"
    """Loss of a token: PPO's clipped surrogate (clipped), the same with one ratio for a whole sequence (gspo), a policy
    gradient with a clipped weight (cispo), or with a soft gate in place of the clip (sapo). The preset of the same name
    also sets the clip limits of the paper; without it, gspo and cispo clip at the limits below."""
    aggregation: AggregationName = "grpo"
    """Mean over each sequence, then over sequences (grpo); over all tokens (dapo); over a constant length (dr_grpo)."""
    clip_low: float = Field(0.2, gt=0, le=1)
    """How far below 1 the probability ratio may go before it is clipped; 1 is no lower limit (cispo only)."""
    clip_high: float = Field(0.2, gt=0)
    """How far above 1 the probability ratio may go before it is clipped."""
    soft_gate: SoftGateSection = SoftGateSection()
    """Temperatures of the loss sapo."""
    mask_overlong: bool = False
    """Give no loss to completions that were cut at `max_completion_tokens`."""
    resample_zero_variance: bool = False
    """Replace groups without variance by new prompts before the update (DAPO's dynamic sampling)."""
    max_resamples: int = Field(4, ge=1)
    """Limit on the prompts that are sampled for one step, as a multiple of `prompts_per_step`."""
    importance_cap: float = Field(2.0, ge=1)
    """Largest importance weight, learner over engine, of a token; larger ones are cut to it. Tokens have such weights
    where `max_staleness` > 0, and always in bf16, in which the engine's logprobs are not quite the learner's."""
    kl: KlSection = KlSection()
    """The KL term of the loss and how its weight adapts."""

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        name = values.get("preset") if isinstance(values, dict) else None
        if isinstance(name, str) and name in GRPO_PRESETS:
            preset = GRPO_PRESETS[name]
            kl = values.get("kl", {})
            merged = {**preset, **values}
            if isinstance(kl, dict):
                merged["kl"] = {**preset.get("kl", {}), **kl}
            return merged
        return values

    @model_validator(mode="after")
    def _across(self) -> GrpoSection:
        if self.clip_low == 1 and self.loss != "cispo":
            raise ValueError(
                f"clip_low 1 removes the lower limit, which only the loss 'cispo' allows; "
                f"the loss {self.loss!r} needs a clip_low below 1"
            )
        return self
