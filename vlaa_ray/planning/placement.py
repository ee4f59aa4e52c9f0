"""The resources of every process of a run, planned without a cluster.

For example:

    plan(config).bundles["learner"] -> [{"CPU": 1, "GPU": 1}, ...]         # one bundle an actor
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


class Reserved(NamedTuple):
    """Roles whose bundles are reserved together, with Ray's strategy: on few nodes, or on one alone."""

    strategy: Literal["PACK", "STRICT_PACK"]
    roles: tuple[str, ...]


def reservations(bundles: Mapping[str, Sequence[Bundle]], nodes: Sequence[Mapping[str, float]]) -> list[Reserved]:
    """Return how to reserve the bundles of all roles on nodes with these resources.

    The learner's ranks talk to each other in every layer. So they are on one node, wherever one node is large enough
    for all of them. Everything is reserved at once where that makes no difference.
    """
    learner = bundles.get("learner", ())
    if len(nodes) > 1 and len(learner) > 1 and any(_fit(learner, node) for node in nodes):
        others = tuple(role for role in bundles if role != "learner")
        return [Reserved("STRICT_PACK", ("learner",)), *([Reserved("PACK", others)] if others else [])]
    return [Reserved("PACK", tuple(bundles))]


def _fit(bundles: Sequence[Bundle], node: Mapping[str, float]) -> bool:
    return all(sum(bundle.get(name, 0.0) for bundle in bundles) <= node.get(name, 0.0) for name in ("CPU", "GPU"))
