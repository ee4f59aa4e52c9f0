"""Batches of groups: one flat row without padding. A prompt with its images comes once, then its completions.

    row = [prompt A + images][completion A1]…[completion AG][prompt B + images][completion B1]…

Each completion sees its prompt and itself (`models.segments`). The positions of each completion start right after the
prompt. So the logprobs are those of separate rows, but prompt and images are passed through the model once instead of
G times. The last token of a completion is only a target, never an input.

Legend: T tokens of the row, N completion tokens, P image patches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vlaa_ray.errors import DataError
from vlaa_ray.models.segments import Segments, segments_of
from vlaa_ray.records import ImageRef


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
    """The tensors of one forward pass over one flat row."""

    input_ids: torch.Tensor  # [1, T]
    position_ids: torch.Tensor  # [3, 1, T]: time, height, width
    segments: Segments
    pixel_values: torch.Tensor  # [P, patch]
    image_grid_thw: torch.Tensor  # [images, 3]
    logprob_index: torch.Tensor  # [N] into the T tokens: the token whose logits predict the target
    targets: torch.Tensor  # [N]
    sequence_ids: torch.Tensor  # [N] the completion that each target belongs to

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with all its tensors on the device."""
        if self.input_ids.device.type == device.type == "cpu":
            return self  # with what its segments have computed already
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Return the batch in memory from which a GPU copies while it computes."""
        return self._mapped(torch.Tensor.pin_memory)

    def _mapped(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        changed: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }
        return replace(self, segments=self.segments.mapped(change), **changed)


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
    """Yield lists of rows, in their order, of at most `limit_tokens` together; longer rows are split first."""
    pending: list[Row] = []
    used = 0
    for row in split_rows(rows, limit_tokens):
        if pending and used + row.num_tokens > limit_tokens:
            yield pending
            pending, used = [], 0
        pending.append(row)
        used += row.num_tokens
    if pending:
        yield pending


def collate(rows: Sequence[Row], tools: PackingTools) -> Batch:
    """Return the rows as one flat row.

    Raises:
        DataError: the image tokens of a row don't match its images.

    """
    if not any(row.images for row in rows):
        rows = [*rows, tools.dummy]
    pixel_values, grids = tools.pixels([image for row in rows for image in row.images])
    parts = _Parts()
    first_image = 0
    for row in rows:
        grid = grids[first_image : first_image + len(row.images)]
        first_image += len(row.images)
        _check_image_tokens(row, grid, tools)
        parts.add(row, tools.positions(torch.from_numpy(row.prompt_token_ids.astype(np.int64)), grid))
    return Batch(
        input_ids=_joined(parts.input_ids)[None],
        position_ids=torch.cat(parts.positions, dim=1)[:, None],
        segments=segments_of(
            (len(row.prompt_token_ids), [len(completion) - 1 for completion in row.completions]) for row in rows
        ),
        pixel_values=pixel_values,
        image_grid_thw=grids,
        logprob_index=_joined(parts.logprob_index),
        targets=_joined(parts.targets),
        sequence_ids=_joined(parts.sequence_ids),
    )


class _Parts:
    """The parts of a flat row, collected row by row."""

    def __init__(self) -> None:
        self.input_ids: list[np.ndarray] = []
        self.positions: list[torch.Tensor] = []
        self.logprob_index: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []
        self.sequence_ids: list[np.ndarray] = []
        self._num_tokens = 0

    def add(self, row: Row, prompt_positions: torch.Tensor) -> None:
        """Add a prompt, whose positions are [3, tokens], and its completions."""
        self.input_ids.append(row.prompt_token_ids)
        self.positions.append(prompt_positions)
        self._num_tokens += len(row.prompt_token_ids)
        last_of_prompt, next_position = self._num_tokens - 1, int(prompt_positions.max()) + 1
        for completion, sequence_id in zip(row.completions, row.sequence_ids, strict=True):
            inputs = len(completion) - 1
            self.input_ids.append(completion[:-1])
            self.positions.append(torch.arange(next_position, next_position + inputs).expand(3, -1))
            own = np.arange(self._num_tokens, self._num_tokens + inputs)
            self.logprob_index.append(np.concatenate([[last_of_prompt], own]))
            self.targets.append(completion)
            self.sequence_ids.append(np.full(len(completion), sequence_id))
            self._num_tokens += inputs


def _check_image_tokens(row: Row, grid: torch.Tensor, tools: PackingTools) -> None:
    inputs = [row.prompt_token_ids, *(completion[:-1] for completion in row.completions)]
    num_tokens = sum(int((ids == tools.image_token_id).sum()) for ids in inputs)
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
