"""Micro-batches for the passes of a learner: collated once, in a thread, one ahead of the one in use.

    feed = feeder.feed([rows of step 0, rows of step 1], passes=[1, 2])
    for batch in feed.batches(0): ...      # of step 0
    for batch in feed.batches(1): ...      # of step 1: the first of two passes, which share its batches

Decoding and resizing images takes as long as a part of the compute, and no pass changes what comes out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from vlaa_ray.models.batches import Batch, PackingTools, Row, collate


class Feed:
    """The micro-batches of some steps. Each batch is kept until the last pass that needs it."""

    def __init__(
        self,
        steps: Sequence[Sequence[Sequence[Row]]],
        passes: Sequence[int],
        tools: PackingTools,
        device: torch.device,
        thread: ThreadPoolExecutor,
    ) -> None:
        """`steps` has the rows of each micro-batch of each step, `passes` the number of passes over each step."""
        self._tools, self._device, self._thread = tools, device, thread
        self._parts = [part for step in steps for part in step]
        self._ends = [sum(len(step) for step in steps[:number]) for number in range(len(steps) + 1)]
        self._uses = [uses for step, uses in zip(steps, passes, strict=True) for _ in step]
        self._batches: dict[int, Future[Batch]] = {}
        self._prepare(0)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of a step, on the device.

        Raises:
            DataError: the image tokens of a row don't match its images.

        """
        for number in range(self._ends[step], self._ends[step + 1]):
            self._prepare(number)
            batch = self._batches[number].result()
            self._uses[number] -= 1
            if not self._uses[number]:
                del self._batches[number]
            self._prepare(number + 1)
            yield batch.to(self._device)

    def _prepare(self, number: int) -> None:
        """Begin to collate a micro-batch, if there is one that is still needed."""
        if number < len(self._parts) and self._uses[number] and number not in self._batches:
            self._batches[number] = self._thread.submit(self._collated, self._parts[number])

    def _collated(self, rows: Sequence[Row]) -> Batch:
        batch = collate(rows, self._tools)
        if self._device.type == "cuda":
            return batch.pinned()
        _ = batch.segments.padded_calls  # here rather than in the first layer of a pass
        return batch
