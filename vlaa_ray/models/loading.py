"""Models and processors loaded from checkpoints, with the pixel limits of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray.config import ModelSection
from vlaa_ray.errors import ModelError
from vlaa_ray.models.attention import use_segment_attention
from vlaa_ray.models.dtypes import TORCH_NAMES, torch_dtype
from vlaa_ray.models.families import Family, family_of
from vlaa_ray.models.paths import local_path


def family_at(path: str | Path) -> Family:
    """Return the family of the checkpoint at a path or hub id.

    Raises:
        ModelError: its config can't be loaded, or its family is not supported.

    """
    return family_of(load_model_config(path))


def load_model_config(path: str | Path) -> Any:
    """Return the Hugging Face config of the checkpoint at a path or hub id; raises ModelError if it can't be read."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"can't load the model's config: {error}", path=str(path)) from error


def load_processor(model: ModelSection, path: str | Path | None = None) -> Any:
    """Return the checkpoint's processor (tokenizer and image processor) with the config's limits of pixels.

    `path` is a folder to load from in place of `model.path`.

    Raises:
        ModelError: the processor can't be loaded.

    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(str(path or local_path(model.path)))
    except (OSError, ValueError) as error:
        raise ModelError(f"can't load the processor: {error}", path=str(path or local_path(model.path))) from error
    processor.image_processor.size = {"shortest_edge": model.min_pixels, "longest_edge": model.max_pixels}
    return processor


def load_model(model: ModelSection, path: str | Path | None = None) -> Any:
    """Return the model for training, in the config's dtype; its vision tower is frozen where the config says so.

    `path` is a folder to load from in place of `model.path`.

    Raises:
        ModelError: the model can't be loaded.

    """
    from transformers import AutoModelForImageTextToText
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        loaded = AutoModelForImageTextToText.from_pretrained(
            str(path or local_path(model.path)),
            dtype=torch_dtype(TORCH_NAMES[model.dtype]),
            attn_implementation="sdpa",  # transformers refuses ours here, since it is not one of its own
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"can't load the model: {error}", path=str(path or local_path(model.path))) from error
    family = family_of(loaded.config)
    loaded.config.use_cache = False
    use_segment_attention(loaded)
    if model.freeze_vision_tower:
        for name, parameter in loaded.named_parameters():
            if name.startswith(family.vision_tower) and not name.startswith(family.merger):
                parameter.requires_grad_(False)
    return loaded
