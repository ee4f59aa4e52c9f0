"""What the learner was given since its last checkpoints, so that ranks that start again can learn the same once more.

    journal.add(Learned(version, shares, loss=None))        # after each part and each update that succeeded
    for entry in journal.since(checkpoint_version): …       # what to repeat after that checkpoint is loaded

Nothing is sampled again: the groups are those that were learned before, with the weights of the same version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from vlaa_ray.records import Group, OptimizerStep

Item = TypeVar("Item")


@dataclass(frozen=True)
class Learned:
    """A call that the learner has done: a part of a step, or an update."""

    version: int
    """The version of the weights before the call."""
    part: list[list[Group]] | None = None
    """[rank][group], for a part of a step."""
    update: list[list[OptimizerStep]] | None = None
    """[rank][optimizer step], for an update."""
    loss: float | None = None
    """The loss of an update."""


class Journal:
    """The calls since the oldest checkpoint that ranks may start from; memory holds their groups."""

    def __init__(self) -> None:
        self._entries: list[Learned] = []

    def add(self, entry: Learned) -> None:
        """Record a call that has succeeded."""
        self._entries.append(entry)

    def since(self, version: int) -> list[Learned]:
        """Return the calls that lead from the weights of this version to the current ones, in order."""
        return [entry for entry in self._entries if entry.version >= version]

    def forget_before(self, version: int) -> None:
        """Forget the calls that led to the weights of this version."""
        self._entries = self.since(version)


def merged_part(shares: Sequence[Sequence[Group]], num_ranks: int) -> list[list[Group]]:
    """Return [rank][group] for fewer ranks than the shares were made for; for as many, the shares as they are."""
    return [_joined(shares[rank::num_ranks]) for rank in range(num_ranks)]


def merged_update(shares: Sequence[Sequence[OptimizerStep]], num_ranks: int) -> list[list[OptimizerStep]]:
    """Return [rank][optimizer step] for fewer ranks than the shares were made for; see `merged_part`."""
    return [
        [
            replace(steps[0], groups=tuple(_joined([step.groups for step in steps])))
            for steps in zip(*shares[rank::num_ranks], strict=True)
        ]
        for rank in range(num_ranks)
    ]


def _joined(parts: Sequence[Sequence[Item]]) -> list[Item]:
    return [item for part in parts for item in part]
