"""The objective: advantages, the loss and its clipping, and the KL term; with presets of published methods."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from vlaa_ray.config.sections import Section


class KlSection(Section):
    coefficient: float = Field(0.0, ge=0)
    """Weight of the KL term in the loss; 0 needs no reference policy."""
    target: float | None = Field(None, gt=0)
    """Adapts the coefficient towards this KL; null keeps it fixed."""
    horizon: float = Field(10_000, gt=0)
    """Samples over which the coefficient adapts: it moves by at most 0.2 · samples / horizon a step."""
    estimator: Literal["k1", "k2", "k3"] = "k3"


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
}
"""Where a preset is named, these take the place of the defaults; keys given beside it win."""


class GrpoSection(Section):
    preset: Literal["paper", "dapo", "dr_grpo"] | None = None
    advantage: Literal["std", "mean_only"] = "std"
    """(r − mean) / (std + 1e-4), or r − mean (Dr. GRPO)."""
    aggregation: Literal["grpo", "dapo", "dr_grpo"] = "grpo"
    """Mean over each sequence, then over sequences (grpo); over all tokens (dapo); over a constant length (dr_grpo)."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    mask_overlong: bool = False
    """Completions cut at `max_completion_tokens` get no loss."""
    resample_zero_variance: bool = False
    """Groups without variance are replaced by new prompts before the update (DAPO's dynamic sampling)."""
    max_resamples: int = Field(4, ge=1)
    """At most so many times `prompts_per_step` prompts are asked for one step."""
    importance_cap: float = Field(2.0, ge=1)
    """Truncates the learner-over-engine importance weight, where rollouts are stale."""
    kl: KlSection = KlSection()

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") in GRPO_PRESETS:
            preset = GRPO_PRESETS[values["preset"]]
            kl = values.get("kl", {})
            merged = {**preset, **values}
            if isinstance(kl, dict):
                merged["kl"] = {**preset.get("kl", {}), **kl}
            return merged
        return values
