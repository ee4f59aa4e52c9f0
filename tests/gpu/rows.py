"""A random model of the wanted dimensions, and flat rows of made-up groups for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from harness import Bench
from sizes import Groups, Sizes

from vlaa_ray.models.attention import use_segment_attention
from vlaa_ray.models.batches import Batch, PackingTools, Row, collate
from vlaa_ray.models.families import DUMMY_IMAGE, family_of
from vlaa_ray.records import ImageRef

MERGE = 2
PATCH_VALUES = 3 * 2 * 14 * 14


def model_config(sizes: Sizes) -> Any:
    """Return the Hugging Face config of the model; the special ids are the last ones of the vocabulary."""
    from transformers import Qwen2_5_VLConfig

    vision = sizes.model["vision_config"]
    text = {key: value for key, value in sizes.model.items() if key not in ("vision_config", "model_type")}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(sizes.mrope_section)}
    size = text["vocab_size"]
    special = {
        "image_token_id": size - 1,
        "video_token_id": size - 2,
        "vision_start_token_id": size - 3,
        "vision_end_token_id": size - 4,
    }
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    text |= {"rope_parameters": rope, **ids}
    tied = text["tie_word_embeddings"]
    return Qwen2_5_VLConfig(text_config=text, vision_config=dict(vision), tie_word_embeddings=tied, **special)


def random_model(bench: Bench, *, checkpointing: bool, segments: bool) -> Any:
    """Return the model on the device; without `segments` it has transformers' own attention, as the rows before had."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    config = model_config(bench.sizes)
    with bench.device:
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=bench.dtype, attn_implementation="sdpa")
    model.config.use_cache = False
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if segments:
        use_segment_attention(model)
    return model


def batch_of(bench: Bench, model: Any, groups: Groups) -> Batch:
    """Return the groups as one flat row on the device, made by the project's own `collate`."""
    family, config = family_of(model.config), model.config
    tools = PackingTools(
        image_token_id=config.image_token_id,
        pixels=_pixels,
        positions=partial(family.positions, model),
        num_features=partial(family.num_features, config),
        dummy=Row(prompt_token_ids=np.zeros(0, np.int32), images=(DUMMY_IMAGE,), completions=(), sequence_ids=()),
    )
    batch = collate([_row(groups, config) for _ in range(groups.count)], tools)
    return batch.to(bench.device)


def group_mask(prompt: int, completions: list[int], device: torch.device) -> torch.Tensor:
    """Return the rule [S, S] of one group: a token sees the earlier tokens of the prompt and of its completion."""
    lengths = torch.tensor([prompt, *completions], device=device)
    segments = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
    query, key = segments[:, None], segments[None]
    return ((key == 0) | (key == query)).tril()


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 where the mask is True, and the lowest number elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def _row(groups: Groups, config: Any) -> Row:
    height, width = groups.grid
    num_image = height * width // MERGE**2
    text = np.random.default_rng(0).integers(3, config.text_config.vocab_size - 4, groups.prompt_tokens - num_image - 2)
    image = np.full(num_image, config.image_token_id)
    prompt = np.concatenate([[config.vision_start_token_id], image, [config.vision_end_token_id], text])
    return Row(
        prompt_token_ids=prompt.astype(np.int32),
        images=(ImageRef(sha256="made", width_px=width, height_px=height),),  # its size in patches
        completions=tuple(np.full(groups.completion_tokens, 7, dtype=np.int32) for _ in range(groups.group_size)),
        sequence_ids=tuple(range(groups.group_size)),
    )


def _pixels(images: Any) -> tuple[torch.Tensor, torch.Tensor]:
    grids = torch.tensor([[1, image.height_px, image.width_px] for image in images])
    return torch.randn(int(grids.prod(-1).sum()), PATCH_VALUES), grids
