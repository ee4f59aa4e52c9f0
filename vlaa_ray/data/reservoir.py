"""Some of many that pass by, each with the same chance (reservoir sampling, Vitter's algorithm R)."""

from __future__ import annotations

import random
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """At most `limit` of the items that were offered; `count` is how many those were."""

    def __init__(self, limit: int, rng: random.Random) -> None:
        self.items: list[Item] = []
        self.count = 0
        self._limit, self._rng = limit, rng

    def offer(self, item: Item) -> None:
        """The item number `count` takes the place of another with the chance limit / count."""
        self.count += 1
        if len(self.items) < self._limit:
            self.items.append(item)
        elif (place := self._rng.randrange(self.count)) < self._limit:
            self.items[place] = item
