"""A random sample of a stream, where each item has the same chance (reservoir sampling, Vitter's algorithm R)."""

from __future__ import annotations

import random
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """A sample of at most `limit` items.

    `items` is the sample, and `count` the number of items that were offered.
    """

    def __init__(self, limit: int, rng: random.Random) -> None:
        self.items: list[Item] = []
        self.count = 0
        self._limit, self._rng = limit, rng

    def offer(self, item: Item) -> None:
        """Offer the next item. Once the sample is full, it replaces another with probability limit / count."""
        self.count += 1
        if len(self.items) < self._limit:
            self.items.append(item)
        elif (place := self._rng.randrange(self.count)) < self._limit:
            self.items[place] = item
