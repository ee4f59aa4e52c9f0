"""What packing needs to know of a model: pixels, positions and a dummy row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vlaa_ray.images.decode import load
from vlaa_ray.models.batches import PackingTools, Row
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.records import ImageRef

_DUMMY_IMAGE = ImageRef(sha256="", width_px=0, height_px=0)


def packing_tools(model: Any, processor: Any, chat: ChatFormat) -> PackingTools:
    """What packing needs to know of a model: pixels, positions and a dummy row."""
    vision = model.config.vision_config
    image_token_id, merge = chat.image_token_id, vision.spatial_merge_size
    patch_values = 3 * vision.temporal_patch_size * vision.patch_size**2

    def pixels(images: Sequence[ImageRef]) -> tuple[torch.Tensor, torch.Tensor]:
        values, grids = [], []
        for image in images:
            if image is _DUMMY_IMAGE:
                values.append(torch.zeros(merge**2, patch_values))
                grids.append(torch.tensor([[1, merge, merge]]))
                continue
            features = processor.image_processor([load(image)], return_tensors="pt")
            values.append(features["pixel_values"])
            grids.append(features["image_grid_thw"])
        return torch.cat(values), torch.cat(grids)

    def positions(prompt_ids: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        kinds = (prompt_ids == image_token_id).int()[None]
        result: torch.Tensor = model.model.get_rope_index(prompt_ids[None], kinds, grid if len(grid) else None)[0][:, 0]
        return result

    dummy_ids = np.asarray(
        [model.config.vision_start_token_id, image_token_id, model.config.vision_end_token_id], dtype=np.int32
    )
    return PackingTools(
        image_token_id=image_token_id,
        pixels=pixels,
        positions=positions,
        merge_size=merge,
        dummy=Row(prompt_token_ids=dummy_ids, images=(_DUMMY_IMAGE,), completions=(), sequence_ids=()),
    )
