"""The resources of every process of a run, planned without a cluster.

For example:

    plan(config).bundles["learner"] -> [{"CPU": 1, "GPU": 1}, ...]         # one bundle an actor
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vlaa_ray.config import AnyConfig, Bundle, PoolSection
from vlaa_ray.config.pools import Market

DRIVER_CPUS = 0.0
"""The driver mostly waits: it has no bundle and uses the CPUs while the roles leave them free."""
MARKET_LABEL, NODE_LABEL = "ray.io/market-type", "ray.io/node-id"
"""Ray's labels of a node: whether it may be taken away (spot) or not (on-demand), and its id."""
_TAKE_TURNS = ("learner", "rollout")
_RAY_DIGITS = 4  # Ray counts resources in units of 1/10,000


@dataclass(frozen=True)
class Seat:
    """The place of one process: the number of its bundle among `Placement.reserved`, and its share of it."""

    number: int
    share: Bundle


@dataclass(frozen=True)
class Placement:
    """The bundles of Ray resources of each role, one for each process; a bundle never spans nodes.

    `colocated` engines and learner ranks take turns in the same bundles, and each bundle is counted once.
    """

    bundles: dict[str, list[Bundle]]
    driver_cpus: float = DRIVER_CPUS
    colocated: bool = False

    @property
    def total_cpus(self) -> float:
        """The CPUs of all bundles and of the driver."""
        return self.driver_cpus + self._total("CPU")

    @property
    def total_gpus(self) -> int:
        """The GPUs of all bundles, rounded up."""
        return math.ceil(round(self._total("GPU"), 6))  # the sum of shares of a GPU has a rounding error

    def gang(self) -> Placement:
        """Return the part of the plan that is reserved as a whole: the learner, and engines that share its devices.

        All other actors are placed one by one, so that each may come and go.
        """
        roles = _TAKE_TURNS if self.colocated else _TAKE_TURNS[:1]
        bundles = {role: self.bundles[role] for role in roles if role in self.bundles}
        return Placement(bundles, driver_cpus=0.0, colocated=self.colocated)

    def reserved(self) -> list[Bundle]:
        """Return the bundles to reserve; colocated ranks and engines have one a GPU, or a single one on the CPU."""
        return self._shared() + [bundle for role in self._alone() for bundle in self.bundles[role]]

    def seat(self, role: str, index: int) -> Seat:
        """Return the place of the process with this index of the role."""
        shared, alone = self._shared(), self._alone()
        if role not in alone:  # Ray counts a half for each of the two, and each uses the whole in turn
            half = {name: _rounded_down(amount / 2) for name, amount in self.bundles[role][index].items()}
            return Seat(min(index, len(shared) - 1), half)
        before = sum(len(self.bundles[name]) for name in alone[: alone.index(role)])
        return Seat(len(shared) + before + index, self.bundles[role][index])

    def _shared(self) -> list[Bundle]:
        if not self.colocated:
            return []
        bundles = self.bundles["learner"]
        return bundles if "GPU" in bundles[0] else [{"CPU": _sum(bundles, "CPU")}]

    def _alone(self) -> list[str]:
        return [role for role in self.bundles if not (self.colocated and role in _TAKE_TURNS)]

    def _total(self, resource: str) -> float:
        return _sum(self.reserved(), resource)


def plan(config: AnyConfig) -> Placement:
    """Return the bundles of every role of the run."""
    return Placement(config.bundles(), colocated=config.colocated)


def _sum(bundles: list[Bundle], resource: str) -> float:
    return sum(bundle.get(resource, 0.0) for bundle in bundles)


def _rounded_down(amount: float) -> float:
    return math.floor(amount * 10**_RAY_DIGITS) / 10**_RAY_DIGITS


def strategy(bundles: Sequence[Bundle], nodes: Sequence[Mapping[str, float]]) -> Literal["PACK", "STRICT_PACK"]:
    """Return Ray's strategy for the bundles of the learner on nodes with these resources.

    The ranks talk to each other in every layer. So they are on one node of several, wherever one is large enough for
    all of them, else on as few as possible.
    """
    in_one = len(nodes) > 1 and len(bundles) > 1 and any(_fit(bundles, node) for node in nodes)
    return "STRICT_PACK" if in_one else "PACK"


def _fit(bundles: Sequence[Bundle], node: Mapping[str, float]) -> bool:
    return all(sum(bundle.get(name, 0.0) for bundle in bundles) <= node.get(name, 0.0) for name in ("CPU", "GPU"))


def market_labels(section: PoolSection, avoided: Collection[str] = ()) -> list[dict[str, str]]:
    """Return Ray's label selectors for an actor of a pool, the preferred one first, without the avoided nodes."""
    markets: list[Market | None] = [market for market in (section.nodes.prefer, section.nodes.fallback) if market]
    return [node_labels(market, avoided) for market in markets or [None]]


def node_labels(market: Market | None, avoided: Collection[str] = ()) -> dict[str, str]:
    """Return Ray's label selector for nodes of one kind, or of any, without the avoided ones; {} if all will do."""
    labels = {MARKET_LABEL: str(market)} if market else {}
    return labels | ({NODE_LABEL: f"!in({','.join(sorted(avoided))})"} if avoided else {})
