"""Batches of groups: one row holds a prompt with its image once, then its completions side by side.

    row = [prompt + image][completion 1]…[completion G]

A mask lets each completion see the prompt and itself. The positions of each completion start right after the
prompt. So the logprobs are those of G separate rows, but prompt and image are passed through the model once
instead of G times. The last token of a completion is only a target, never an input.

Legend: B rows, S row length, T prompt tokens, N completion tokens of the batch, P image patches.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef

LOGPROB_CHUNK_TOKENS = 4096
"""The largest number of tokens whose logits exist at once: 2.5 GB in fp32 for a vocabulary of 152,000."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """A prompt and some of its completions; `sequence_ids` number the completions within the update."""

    prompt_token_ids: np.ndarray  # [T], one id for each image feature
    images: tuple[ImageRef, ...]
    completions: tuple[np.ndarray, ...]  # each [C], C of 1 or more
    sequence_ids: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        """The number of input tokens; the last token of a completion is only a target and does not count."""
        return len(self.prompt_token_ids) + sum(len(completion) - 1 for completion in self.completions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The tensors of one forward pass over padded rows."""

    input_ids: torch.Tensor  # [B, S]
    position_ids: torch.Tensor  # [3, B, S]: time, height, width
    attention_mask: torch.Tensor  # [B, 1, S, S], True where the query token sees the key token
    pixel_values: torch.Tensor  # [P, patch]
    image_grid_thw: torch.Tensor  # [images, 3]
    logprob_index: torch.Tensor  # [N] into the flattened rows: the token whose logits predict the target
    targets: torch.Tensor  # [N]
    sequence_ids: torch.Tensor  # [N] the completion that each target belongs to
    num_logprob_chunks: int = 1
    """The number of parts in which the logprobs of the N targets are computed; some may be empty.

    A part has at most LOGPROB_CHUNK_TOKENS targets.
    """

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with all its tensors on the device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class PackingTools:
    """The functions and facts of a model's family that packing uses; made by `batch_tools.packing_tools`."""

    image_token_id: int
    pixels: Callable[[Sequence[ImageRef]], tuple[torch.Tensor, torch.Tensor]]
    """A function from images to (pixel_values [P, patch], image_grid_thw [images, 3])."""
    positions: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """A function from (prompt ids [T], image_grid_thw) to M-RoPE positions [3, T]."""
    num_features: Callable[[torch.Tensor], int]
    """A function from image_grid_thw to the number of image tokens of its images together."""
    dummy: Row
    """A prompt with a minimal image and no completion. It joins batches without an image, so that every rank
    runs the same modules (and collectives) on any mix of data. No other token sees it: it adds nothing to the loss."""


def split_rows(rows: Sequence[Row], limit_tokens: int) -> list[Row]:
    """Return rows of at most `limit_tokens` with the same completions; longer rows are split between completions.

    Raises:
        DataError: a prompt with one of its completions is longer than the limit.

    """
    result: list[Row] = []
    for row in rows:
        prompt_tokens = len(row.prompt_token_ids)
        start, used = 0, prompt_tokens
        for index, completion in enumerate(row.completions):
            extra = len(completion) - 1
            if prompt_tokens + extra > limit_tokens:
                raise DataError(
                    "a prompt with one completion is longer than a micro-batch",
                    got=prompt_tokens + extra,
                    expected=limit_tokens,
                    fix="raise learner.micro_batch_tokens",
                )
            if used + extra > limit_tokens and index > start:
                result.append(_part(row, start, index))
                start, used = index, prompt_tokens
            used += extra
        result.append(_part(row, start, len(row.completions)))
    return result


def micro_batches(rows: Sequence[Row], limit_tokens: int) -> Iterator[list[Row]]:
    """Yield lists of rows of similar length, of at most `limit_tokens` with padding; longer rows are split first."""
    pending: list[Row] = []
    for row in sorted(split_rows(rows, limit_tokens), key=lambda row: row.num_tokens):
        if pending and (len(pending) + 1) * row.num_tokens > limit_tokens:
            yield pending
            pending = []
        pending.append(row)
    if pending:
        yield pending


def num_logprob_chunks(rows: Sequence[Row]) -> int:
    """Return the number of chunks that the completions' tokens fill; at least 1."""
    num_tokens = sum(len(completion) for row in rows for completion in row.completions)
    return max(1, math.ceil(num_tokens / LOGPROB_CHUNK_TOKENS))


def collate(rows: Sequence[Row], tools: PackingTools, num_chunks: int | None = None) -> Batch:
    """Return the rows as one batch, padded on the right.

    `num_chunks` is the number of parts in which all ranks compute logprobs; the default is what these rows need.

    Raises:
        DataError: the image tokens of a row don't match its images.

    """
    images = [image for row in rows for image in row.images]
    pixel_values, grids = tools.pixels(images or tools.dummy.images)
    tail = None if images else tools.dummy  # goes behind the first row, in a segment of its own
    size = max(row.num_tokens for row in rows)
    if tail:
        size = max(size, rows[0].num_tokens + tail.num_tokens)
    input_ids = torch.zeros(len(rows), size, dtype=torch.long)
    position_ids = torch.zeros(3, len(rows), size, dtype=torch.long)
    segments = torch.full((len(rows), size), -1, dtype=torch.long)
    logprob_index: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    sequence_ids: list[np.ndarray] = []
    first_image = 0
    for index, row in enumerate(rows):
        prompt_tokens = len(row.prompt_token_ids)
        prompt_ids = torch.from_numpy(row.prompt_token_ids.astype(np.int64))
        grid = grids[first_image : first_image + len(row.images)]
        first_image += len(row.images)
        input_ids[index, :prompt_tokens] = prompt_ids
        prompt_positions = tools.positions(prompt_ids, grid)
        position_ids[:, index, :prompt_tokens] = prompt_positions
        segments[index, :prompt_tokens] = 0
        next_position, start = int(prompt_positions.max()) + 1, prompt_tokens
        for number, (completion, sequence_id) in enumerate(zip(row.completions, row.sequence_ids, strict=True)):
            inputs = len(completion) - 1
            end = start + inputs
            input_ids[index, start:end] = torch.from_numpy(completion[:-1].astype(np.int64))
            position_ids[:, index, start:end] = torch.arange(next_position, next_position + inputs)
            segments[index, start:end] = number + 1
            predictors = np.concatenate([[prompt_tokens - 1], np.arange(start, end)])
            logprob_index.append(predictors + index * size)
            targets.append(completion)
            sequence_ids.append(np.full(len(completion), sequence_id))
            start = end
        _check_image_tokens(input_ids[index, :start], grid, tools)
        if tail and index == 0:
            end = start + tail.num_tokens
            input_ids[0, start:end] = torch.from_numpy(tail.prompt_token_ids.astype(np.int64))
            position_ids[:, 0, start:end] = tools.positions(input_ids[0, start:end], grids)
            segments[0, start:end] = len(row.completions) + 1
    return Batch(
        input_ids=input_ids,
        position_ids=position_ids,
        attention_mask=_group_mask(segments),
        pixel_values=pixel_values,
        image_grid_thw=grids,
        logprob_index=_joined(logprob_index),
        targets=_joined(targets),
        sequence_ids=_joined(sequence_ids),
        num_logprob_chunks=num_chunks or num_logprob_chunks(rows),
    )


def _group_mask(segments: torch.Tensor) -> torch.Tensor:
    """Return the mask [B, 1, S, S]: a token sees the earlier tokens of the prompt (segment 0) and of its segment."""
    query, key = segments[:, :, None], segments[:, None, :]
    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    # padding (segment -1) sees padding, so that no row of the softmax is empty
    return (causal & ((key == 0) & (query >= 0) | (key == query)))[:, None]


def _check_image_tokens(input_ids: torch.Tensor, grid: torch.Tensor, tools: PackingTools) -> None:
    num_tokens = int((input_ids == tools.image_token_id).sum())
    expected = tools.num_features(grid)
    if num_tokens != expected:
        raise DataError("image tokens and image features don't match", got=num_tokens, expected=expected)


def _part(row: Row, start: int, end: int) -> Row:
    return Row(
        prompt_token_ids=row.prompt_token_ids,
        images=row.images,
        completions=row.completions[start:end],
        sequence_ids=row.sequence_ids[start:end],
    )


def _joined(parts: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64)) if parts else torch.zeros(0, dtype=torch.long)
