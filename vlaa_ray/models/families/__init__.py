"""The families of vision-language models that can be trained, by the `model_type` of their config.json.

To add a family, write a file in this folder with a subclass of `Family`, and add the class to `FAMILIES`.
"""

from __future__ import annotations

from typing import Any

from vlaa_ray.errors import ModelError
from vlaa_ray.models.families.base import DUMMY_IMAGE, Family, ParameterCount, text_dimensions
from vlaa_ray.models.families.qwen2_5_vl import Qwen25VL
from vlaa_ray.models.families.qwen2_vl import Qwen2VL

__all__ = ["DUMMY_IMAGE", "FAMILIES", "Family", "ParameterCount", "family_named", "family_of", "text_dimensions"]

FAMILIES: dict[str, Family] = {family.model_type: family() for family in (Qwen25VL, Qwen2VL)}


def family_named(model_type: str) -> Family:
    """Return the family with this `model_type`.

    Raises:
        ModelError: no family has it.

    """
    if model_type not in FAMILIES:
        fix = "use a checkpoint whose config.json has one of these model types"
        raise ModelError(f"unknown model type {model_type!r}", expected=sorted(FAMILIES), fix=fix)
    return FAMILIES[model_type]


def family_of(model_config: Any) -> Family:
    """Return the family of a Hugging Face config.

    Raises:
        ModelError: the config's model type is not supported.

    """
    return family_named(model_config.model_type)
