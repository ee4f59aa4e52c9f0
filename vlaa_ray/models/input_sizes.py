"""The sizes of images as a model sees them. This module does not import torch: most rewards do not need these sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from vlaa_ray.config import ModelSection
from vlaa_ray.records import ImageRef


def input_sizes_of(model: ModelSection) -> Callable[[ImageRef], tuple[int, int]]:
    """Return `ChatFormat.input_size` of the config's checkpoint, whose processor is loaded by the first call.

    The call raises ModelError if that fails, and DataError if the model takes no image of this shape.
    """

    @cache
    def input_size() -> Callable[[ImageRef], tuple[int, int]]:
        from vlaa_ray.models.chat import chat_format_of

        return chat_format_of(model).input_size

    return lambda image: input_size()(image)
