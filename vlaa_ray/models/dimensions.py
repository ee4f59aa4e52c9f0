"""Sizes of a model, known from its config alone: parameters, layers, heads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.errors import ModelError
from vlaa_ray.models.paths import local_path

_VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}


KNOWN_MODELS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "vision_config": {**_VISION, "out_hidden_size": 2048},
    },
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
        "vision_config": {**_VISION, "out_hidden_size": 3584},
    },
}
"""What the config.json of these models says, so that a plan needs no download."""


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a Qwen2.5-VL; tied embeddings count once, `merger` is the projection from vision to text."""

    vision: int
    merger: int
    text: int
    largest: int

    @property
    def total(self) -> int:
        return self.vision + self.merger + self.text


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


def count_parameters(model_config: dict[str, Any]) -> ParameterCount:
    """Parameters from the dimensions in a Qwen2.5-VL config.json, in the hub's flat layout or with a text_config."""
    text, vision = _text(model_config), model_config["vision_config"]
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    head = hidden // text["num_attention_heads"]
    key_value = text["num_key_value_heads"] * head
    attention = (hidden + 1) * (hidden + 2 * key_value) + hidden * hidden  # q, k and v have biases, o has none
    layer = attention + 3 * hidden * inner + 2 * hidden
    embedding = text["vocab_size"] * hidden
    tables = 1 if _tied(model_config) else 2
    width, depth = vision["hidden_size"], vision["depth"]
    merged = width * vision.get("spatial_merge_size", 2) ** 2
    patch = 3 * vision.get("temporal_patch_size", 2) * vision.get("patch_size", 14) ** 2
    block = 4 * width * (width + 1) + 3 * width * vision["intermediate_size"] + 2 * vision["intermediate_size"] + width
    return ParameterCount(
        vision=patch * width + depth * (block + 2 * width),
        merger=width + merged * (merged + 1) + (merged + 1) * vision["out_hidden_size"],
        text=text["num_hidden_layers"] * layer + hidden + tables * embedding,
        largest=max(embedding, hidden * inner, merged * merged),
    )


def _text(model_config: dict[str, Any]) -> dict[str, Any]:
    return dict(model_config.get("text_config") or model_config)


def _tied(model_config: dict[str, Any]) -> bool:
    return bool(model_config.get("tie_word_embeddings") or _text(model_config).get("tie_word_embeddings"))
