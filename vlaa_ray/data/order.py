"""The order in which a run takes its items: at random, and the same for every process with the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")


class SeededOrder(Generic[Item]):
    """The items in a random order: `order[position]`, with a new permutation for every epoch.

    The item is a pure function of the seed and the position, so a resumed run continues where it stopped.
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
