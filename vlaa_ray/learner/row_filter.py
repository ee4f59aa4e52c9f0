"""The filter from samples to rows: a sample that can't be trained on is left out with its reason and ends no run.

For example:

    row_filter = RowFilter("sft", config.sft)
    rows = row_filter.rows(prompts, make_row)
    row_filter.dropped  -> [{"id": "train.json:7", "reason": "the image is damaged: …"}]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vlaa_ray.algorithms.empty_steps import EmptySteps
from vlaa_ray.config import SamplesSection
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.models.batches import Row
from vlaa_ray.records import Preference, Prompt, prompt_of

Item = TypeVar("Item", Prompt, Preference)


class RowFilter:
    """The filter of one rank. `section` is the config section of the limits, for the messages."""

    def __init__(self, section: str, limits: SamplesSection) -> None:
        self._section, self._limits = section, limits
        self._sound: set[str] = set()
        self._empty_steps = EmptySteps()
        self.dropped: list[dict[str, str]] = []
        """The id and the reason of each sample that the last call of `rows` left out."""

    def rows(self, items: Sequence[Item], make: Callable[[Item, int], Row]) -> list[Row]:
        """Return the rows that `make` makes from (item, its number).

        Left out are the items for which `make` raises DataError, whose row is too long, or with a damaged image.
        """
        rows: list[Row] = []
        self.dropped = []
        for number, item in enumerate(items):
            try:
                row = make(item, number)
                self._refuse_long(row)
                self._refuse_damaged(row)
                rows.append(row)
            except DataError as error:
                self.dropped.append({"id": prompt_of(item).prompt_id, "reason": error.one_line()})
        return rows

    def is_empty_step(self, total: float) -> bool:
        """Return True if no rank has anything to train on: `total`, the sum over all ranks, is 0.

        Raises:
            DataError: this is the tenth such step in a row.

        """
        last = self.dropped[-1]["reason"] if self.dropped else "other ranks have the reason"
        return self._empty_steps.observe(not total, last)

    def _refuse_long(self, row: Row) -> None:
        longest = max(len(completion) for completion in row.completions)
        for name, tokens in (("max_prompt_tokens", len(row.prompt_token_ids)), ("max_completion_tokens", longest)):
            if tokens > (limit := getattr(self._limits, name)):
                raise DataError(f"{tokens} tokens, over {self._section}.{name} = {limit}")

    def _refuse_damaged(self, row: Row) -> None:
        """Decode the images that were not decoded before; later, in a batch, a damaged image would end the run."""
        for image in row.images:
            if image.sha256 not in self._sound:
                load(image)
                self._sound.add(image.sha256)
