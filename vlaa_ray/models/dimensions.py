"""Sizes of a model, known from its config alone: parameters, layers, heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlaa_ray.errors import ModelError
from vlaa_ray.models.families import FAMILIES, Family, ParameterCount, family_named
from vlaa_ray.models.paths import local_path

KNOWN_MODELS: dict[str, dict[str, Any]] = {
    name: dimensions for family in FAMILIES.values() for name, dimensions in family.published.items()
}
"""What the config.json of published models says, so that a plan needs no download."""


def model_dimensions(path: str) -> dict[str, Any]:
    """The config.json of a checkpoint folder or a built-in model, or of a hub id in KNOWN_MODELS; else ModelError."""
    file = Path(local_path(path)) / "config.json"
    if file.is_file():
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ModelError(f"not JSON: {error}", file=str(file)) from error
    if path in KNOWN_MODELS:
        return KNOWN_MODELS[path]
    fix = "download it and give its folder as model.path"
    raise ModelError("the model's dimensions are not known", model=path, known=sorted(KNOWN_MODELS), fix=fix)


def dimensions_family(dimensions: dict[str, Any]) -> Family:
    """The family that a config.json names; ModelError if it is not one of ours."""
    return family_named(str(dimensions.get("model_type")))


def count_parameters(dimensions: dict[str, Any]) -> ParameterCount:
    """The parameters of a model, from the dimensions in its config.json."""
    return dimensions_family(dimensions).count_parameters(dimensions)
