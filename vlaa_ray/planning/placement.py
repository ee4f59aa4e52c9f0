"""The resources of every process of a run, planned without a cluster.

For example:

    plan(config).bundles["learner"] -> [{"CPU": 1, "GPU": 1}, ...]         # one bundle an actor
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vlaa_ray.config import AnyConfig, Bundle

DRIVER_CPUS = 0.0
"""The driver mostly waits: it has no bundle and uses the CPUs while the roles leave them free."""


@dataclass(frozen=True)
class Placement:
    """The bundles of Ray resources of each role, one for each actor; a bundle never spans nodes."""

    bundles: dict[str, list[dict[str, float]]]
    driver_cpus: float = DRIVER_CPUS

    @property
    def total_cpus(self) -> float:
        """The CPUs of all bundles and of the driver."""
        return self.driver_cpus + self._total("CPU")

    @property
    def total_gpus(self) -> int:
        """The GPUs of all bundles, rounded up."""
        return math.ceil(round(self._total("GPU"), 6))  # the sum of shares of a GPU has a rounding error

    def _total(self, resource: str) -> float:
        return sum(bundle.get(resource, 0.0) for bundles in self.bundles.values() for bundle in bundles)


def plan(config: AnyConfig) -> Placement:
    """Return the bundles of every role of the run."""
    return Placement(config.bundles())


class Part(NamedTuple):
    """Bundles, by their numbers, that are reserved together, and Ray's strategy: on few nodes, or on one alone."""

    strategy: Literal["PACK", "STRICT_PACK"]
    numbers: tuple[int, ...]


def parts(bundles: Sequence[Bundle], ranks: Collection[int], nodes: Sequence[Mapping[str, float]]) -> list[Part]:
    """Return how to reserve the bundles on nodes with these resources; `ranks` are the numbers of the learner's.

    The learner's ranks talk to each other in every layer. So they are on one node of several, wherever one is large
    enough for all of them. Everything is reserved at once where that makes no difference.
    """
    together = [bundles[number] for number in ranks]
    if len(nodes) > 1 and len(ranks) > 1 and any(_fit(together, node) for node in nodes):
        others = tuple(number for number in range(len(bundles)) if number not in ranks)
        return [Part("STRICT_PACK", tuple(ranks)), *([Part("PACK", others)] if others else [])]
    return [Part("PACK", tuple(range(len(bundles))))]


def _fit(bundles: Sequence[Bundle], node: Mapping[str, float]) -> bool:
    return all(sum(bundle.get(name, 0.0) for bundle in bundles) <= node.get(name, 0.0) for name in ("CPU", "GPU"))
