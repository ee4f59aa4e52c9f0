"""Where prompts come from, and in which order a run takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

import numpy as np

from vlaa_ray.config import DataSection
from vlaa_ray.data.embedded import EmbeddedData
from vlaa_ray.data.readers import read_prompts
from vlaa_ray.errors import DataError
from vlaa_ray.records import PAPER_TYPES, VERIFIER_TYPES, Prompt

BUILTIN = "builtin:"
Item = TypeVar("Item")


def open_dataset(
    source: str, data: DataSection, limit: int | None, verifier_types: Collection[str] = VERIFIER_TYPES
) -> Sequence[Prompt]:
    """The first `limit` prompts of a source of the config, `builtin:SPLIT` or a file; others than `verifier_types`
    are errors.
    """
    prompts: Sequence[Prompt]
    if source.startswith(BUILTIN):
        prompts = EmbeddedData(
            source.removeprefix(BUILTIN), PAPER_TYPES if data.verifier_types is None else data.verifier_types
        )
    else:
        everything = read_prompts(source, data.image_root, verifier_types, data.verifier_type)
        wanted = verifier_types if data.verifier_types is None else data.verifier_types
        prompts = [prompt for prompt in everything if prompt.verifier_type in wanted]
    if not prompts:
        raise DataError("no prompt is left", file=source, fix="look at data.verifier_types and at the file")
    return first(prompts, limit)


def first(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """The first `limit` items, made no earlier than they are asked for; None for all."""
    return _First(items, limit) if limit and limit < len(items) else items


class SeededOrder(Generic[Item]):
    """The item of each position: a seeded permutation of the data, a new one for every epoch.

    A pure function of (seed, position), so a resumed run asks on where it stopped.
    """

    def __init__(self, items: Sequence[Item], seed: int) -> None:
        self._items = items
        self._seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> Item:
        epoch, offset = divmod(position, len(self._items))
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self._seed, epoch]).permutation(len(self._items))
            self._epoch = epoch
        return self._items[int(self._permutation[offset])]


class _First(Sequence[Item]):
    def __init__(self, items: Sequence[Item], count: int) -> None:
        self._items, self._count = items, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._items[index]
