"""The peak memory of a policy's forward and backward pass, as torch's own MemTracker counts it.

On real tensors the CPU's path runs. On fake tensors, which have shapes but no memory, the GPU's path runs at the size
of published models; its attention kernel only says what it allocates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.distributed._tools.mem_tracker import MemTracker
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

from vlaa_ray.models import attention
from vlaa_ray.models.batches import Batch
from vlaa_ray.models.policy import Policy
from vlaa_ray.models.segments import segments_of

Groups = Sequence[tuple[int, Sequence[int]]]
"""The tokens of each prompt, and of each of its completions."""


def tracked_peak(policy: Policy, batch: Batch) -> int:
    """Return the peak in bytes of a forward and backward pass, with the weights.

    A gradient is dropped as soon as it is complete, as ZeRO does after adding it to its shard.
    """
    for parameter in policy.parameters():
        parameter.register_post_accumulate_grad_hook(lambda parameter: setattr(parameter, "grad", None))
    tracker = MemTracker()
    tracker.track_external(policy)
    policy.train()
    with tracker:
        logprobs, _ = policy(batch)
        logprobs.sum().backward()
    (by_kind,) = tracker.get_tracker_snapshot("peak").values()
    return int(by_kind["Total"])


def batch_of(policy: Policy, groups: Groups, grid: torch.Tensor) -> Batch:
    """Return a batch of groups, each with its share of the images of `grid` [images, 3]; only its shapes matter."""
    vision = policy.model.config.vision_config
    patch = 3 * vision.temporal_patch_size * vision.patch_size**2
    merged, image_token = vision.spatial_merge_size**2, policy.model.config.image_token_id
    num_patches = int(grid.prod(-1).sum())
    segments = segments_of(groups)
    tokens = sum(segments.query_lengths)
    ids, index, start = torch.zeros(1, tokens, dtype=torch.long), [], 0
    image_tokens = num_patches // merged // len(groups)
    for prompt, completions in groups:
        ids[0, start : start + image_tokens] = image_token
        last, start = start + prompt - 1, start + prompt
        for completion in completions:
            index += [last, *range(start, start + completion)]
            start += completion
    return Batch(
        input_ids=ids,
        position_ids=torch.arange(tokens).expand(3, 1, tokens).contiguous(),
        segments=segments,
        pixel_values=torch.zeros(num_patches, patch),
        image_grid_thw=grid,
        logprob_index=torch.tensor(index),
        targets=torch.zeros(len(index), dtype=torch.long),
        sequence_ids=torch.zeros(len(index), dtype=torch.long),
    )


def fake_peak(dimensions: dict[str, Any], groups: Groups, grid: torch.Tensor, *, checkpointing: bool) -> int:
    """Return `tracked_peak` of a bf16 model of these dimensions on the GPU's path, without memory or a GPU."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    mode, longest = FakeTensorMode(allow_non_fake_inputs=True), int(grid.prod(-1).max())
    with pytest.MonkeyPatch.context() as patch, mode, _dtype(torch.bfloat16):
        patch.setattr(attention, "_has_kernel", lambda _: True)
        _compute_indices_for_real(patch, mode, grid)
        patch.setattr(qwen, "get_max_seqlen", lambda *_, **__: longest)
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**dimensions))
        attention.use_segment_attention(model)
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        policy = Policy(model, temperature=1.0, banned_token_ids=[])
        with unset_fake_temporarily(), _dtype(torch.float32):
            batch = batch_of(policy, groups, grid)
        return tracked_peak(policy, _faked(batch, mode))


def _faked(batch: Batch, mode: FakeTensorMode) -> Batch:
    """Return the batch with fake tensors in place of the real ones."""
    from dataclasses import replace

    def tensors(holder: Any) -> dict[str, torch.Tensor]:
        found = {name: value for name, value in vars(holder).items() if isinstance(value, torch.Tensor)}
        return {name: mode.from_tensor(value) for name, value in found.items()}

    return replace(batch, segments=replace(batch.segments, **tensors(batch.segments)), **tensors(batch))


def _compute_indices_for_real(patch: pytest.MonkeyPatch, mode: FakeTensorMode, grid: torch.Tensor) -> None:
    """Let the vision tower compute its windows from the real grid: their number depends on values."""

    def for_real(function: Any) -> Any:
        def call(_: torch.Tensor, *arguments: Any, kwargs: Any = None, **others: Any) -> Any:
            with unset_fake_temporarily(), _dtype(torch.float32):
                found = function(grid, *arguments, **others)
            parts = found if isinstance(found, tuple) else (found,)
            parts = tuple(mode.from_tensor(part) if isinstance(part, torch.Tensor) else part for part in parts)
            return parts if isinstance(found, tuple) else parts[0]

        return call

    for name in ("get_vision_window_index", "get_vision_position_ids", "get_vision_attention_seqlens"):
        patch.setattr(qwen, name, for_real(getattr(qwen, name)))

    def get_image_features(self: Any, pixel_values: torch.Tensor, grid: torch.Tensor) -> Any:
        output = self.visual(pixel_values, grid_thw=grid)
        output.pooler_output = (output.pooler_output,)  # not split by image: the sizes are values
        return output

    patch.setattr(qwen.Qwen2_5_VLModel, "get_image_features", get_image_features)


@contextmanager
def _dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
