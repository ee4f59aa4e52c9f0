"""The sizes of a model, known from its config alone: parameters, layers, heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlaa_ray.errors import ModelError
from vlaa_ray.models.families import FAMILIES, Family, ParameterCount, family_named
from vlaa_ray.models.paths import description_path

KNOWN_MODELS: dict[str, dict[str, Any]] = {
    name: dimensions for family in FAMILIES.values() for name, dimensions in family.published.items()
}
"""The config.json of published models by their hub id, so that a plan needs no download."""


def model_dimensions(path: str) -> dict[str, Any]:
    """Return the config.json of a checkpoint folder, of a built-in model, or of a hub id in KNOWN_MODELS.

    Raises:
        ModelError: it is not JSON, or the model is unknown and is not on this machine.

    """
    file = Path(description_path(path)) / "config.json"
    if file.is_file():
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            fix = "download the checkpoint again"
            raise ModelError(f"the model's config is not a JSON object: {error}", file=str(file), fix=fix) from error
    if path in KNOWN_MODELS:
        return KNOWN_MODELS[path]
    fix = "download the model and give its folder as model.path"
    raise ModelError("the model's dimensions are unknown", model=path, known=sorted(KNOWN_MODELS), fix=fix)


def dimensions_family(dimensions: dict[str, Any]) -> Family:
    """Return the family that a config.json names.

    Raises:
        ModelError: the family is not supported.

    """
    return family_named(str(dimensions.get("model_type")))


def count_parameters(dimensions: dict[str, Any]) -> ParameterCount:
    """Return the number of a model's parameters by part, from the dimensions in its config.json.

    Raises:
        ModelError: the family is not supported, or a dimension is missing.

    """
    family = dimensions_family(dimensions)
    try:
        return family.count_parameters(dimensions)
    except (KeyError, TypeError) as error:
        fix = "download the checkpoint again"
        raise ModelError(f"the model's config lacks a dimension, or it is no number: {error}", fix=fix) from error
