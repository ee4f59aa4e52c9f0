"""What differs between families of vision-language models, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlaa_ray.errors import ModelError


@dataclass(frozen=True)
class Family:
    """Facts of a family that no checkpoint's config tells.

    `vision_tower` and `merger` are prefixes of parameter names; `vision_tokens` are control tokens that
    the policy must never sample: each would announce an image that isn't there.
    """

    model_type: str
    vision_tower: str
    merger: str
    image_token: str
    vision_tokens: tuple[str, ...]


QWEN2_5_VL = Family(
    model_type="qwen2_5_vl",
    vision_tower="model.visual.",
    merger="model.visual.merger.",
    image_token="<|image_pad|>",
    vision_tokens=("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)

FAMILIES = {family.model_type: family for family in (QWEN2_5_VL,)}


def family_of(model_config: Any) -> Family:
    """The family of a Hugging Face config; ModelError if it is not one that we know."""
    try:
        return FAMILIES[model_config.model_type]
    except KeyError:
        raise ModelError(f"unknown model type {model_config.model_type!r}", expected=sorted(FAMILIES)) from None
