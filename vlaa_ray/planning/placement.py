"""The resources of every process of a run, planned without a cluster.

For example:

    plan(config).bundles["learner"] -> [{"CPU": 1, "GPU": 1}, ...]         # one bundle an actor
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlaa_ray.config import AnyConfig

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
