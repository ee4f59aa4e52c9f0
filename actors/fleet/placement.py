"""The connection of a run to Ray, and the placement of its actors: the learner as a whole, all others one by one."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.fleet.cluster_state import REPORT_EVERY_S, free_line, known
from actors.process.environment import require_own_gpus
from actors.process.own_ray import start_own_ray
from vlaa_ray.config import AnyConfig, Bundle
from vlaa_ray.config.pools import Market
from vlaa_ray.errors import PlacementError
from vlaa_ray.planning.placement import MARKET_LABEL, Placement, node_labels, strategy

_POLL_S = 0.1
_RESERVED = "CREATED"  # Ray's name of the state


def start_ray(config: AnyConfig, plan: Placement) -> None:
    """Join the cluster of the Ray job that this process runs in, else the config's cluster, or start a local Ray.

    A local Ray gets at least as many logical CPUs as the plan needs, so that a small machine runs the roles in turns.

    Raises:
        PlacementError: the run needs GPUs, and Ray is told to give every process all of them.

    """
    require_own_gpus(plan.total_gpus)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if config.ray.address == "local" and not in_job:
        start_own_ray(
            num_cpus=max(os.cpu_count() or 1, math.ceil(plan.total_cpus)),
            object_store_memory=config.ray.object_store_bytes,
            include_dashboard=False,
            **options,
        )
    else:
        ray.init(address="auto" if in_job else config.ray.address, **options)
    for number, handler in handlers.items():  # Ray has replaced them by its own, which end the process
        signal.signal(number, handler)


class Reservation:
    """The reserved bundles of the learner and of the engines that share its devices.

    After `wait`, `options(role, index)` puts an actor into its bundle.
    """

    def __init__(self, plan: Placement, market: Market | None = None, avoided: Collection[str] = ()) -> None:
        """`market` is the only kind of node that may hold a bundle; `avoided` are ids of nodes that may not."""
        self._plan = plan.gang()
        self._bundles = self._plan.reserved()
        self._market, self._avoided = market, avoided
        self._groups: list[PlacementGroup] = []

    @classmethod
    def joined(cls, plan: Placement, parts: Sequence[Reservation]) -> Reservation:
        """Return a reservation of a larger plan that takes over the bundles of its parts, in order."""
        joined = cls(plan)
        joined._groups = [group for part in parts for group in part._groups]
        return joined

    def ask(self) -> None:
        """Ask the cluster for all bundles; `is_reserved` says when it has reserved them."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if self._market:  # a node of another kind may be large enough, but takes no rank
            nodes = [node for node in nodes if node["Labels"].get(MARKET_LABEL) == self._market]
        resources = [node["Resources"] for node in nodes if node["NodeID"] not in self._avoided]
        labels = node_labels(self._market, self._avoided)
        selector = [labels] * len(self._bundles) if labels else None
        self._groups = [
            placement_group(self._bundles, strategy=strategy(self._bundles, resources), bundle_label_selector=selector)
        ]

    def is_reserved(self) -> bool:
        """Return True if the cluster holds all bundles that were asked for."""
        return all(placement_group_table(group)["state"] == _RESERVED for group in self._groups)

    async def wait(self, timeout_s: float, note: Callable[[str], None]) -> None:
        """Wait until the cluster has reserved all bundles; `note` gets a line about the wait every 30 seconds.

        Raises:
            PlacementError: they are not reserved after `timeout_s` seconds.

        """
        if not self._bundles:
            return
        clock = asyncio.get_running_loop().time
        start = reported = clock()
        self.ask()
        while not self.is_reserved():  # `wait` of Ray's groups cuts its timeout to whole seconds
            if clock() - start >= timeout_s:
                raise self._no_room(timeout_s)
            if clock() - reported >= REPORT_EVERY_S:
                note(f"waiting for a place for the learner: needs {_total(self._bundles)}, {await free_line()}")
                reported = clock()
            await asyncio.sleep(_POLL_S)

    def release(self) -> None:
        """Give back what is reserved; actors in it end."""
        for group in self._groups:
            remove_placement_group(group)
        self._groups = []

    def options(self, role: str, index: int) -> dict[str, Any]:
        """Return the options for `ray.remote(...)` that put the actor with this index of the role into its bundle."""
        seat = self._plan.seat(role, index)
        group, number = self._bundle(seat.number)
        return actor_options(seat.share) | {
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                group, placement_group_bundle_index=number, placement_group_capture_child_tasks=True
            ),
        }

    def num_on_node(self, role: str, index: int, count: int) -> int:
        """Return how many of the first `count` processes of the role are on the node of this one; after `wait`."""
        nodes = [self._node(role, number) for number in range(count)]
        return nodes.count(nodes[index])

    def nodes(self) -> set[str]:
        """Return the nodes of all bundles; after `wait`."""
        tables = [placement_group_table(group) for group in self._groups]
        return {str(node) for table in tables for node in table["bundles_to_node_id"].values()}

    def _node(self, role: str, index: int) -> str:
        group, number = self._bundle(self._plan.seat(role, index).number)
        return str(placement_group_table(group)["bundles_to_node_id"][number])

    def _bundle(self, number: int) -> tuple[PlacementGroup, int]:
        """Return the group that has the bundle with this number, and its number there."""
        for group in self._groups:
            if number < group.bundle_count:
                return group, number
            number -= group.bundle_count
        raise IndexError(number)

    def _no_room(self, timeout_s: float) -> PlacementError:
        """Give back what is reserved, and return the error to raise."""
        free = known(ray.available_resources())
        self.release()
        return PlacementError(
            f"the cluster had no room for the learner within {timeout_s:g} s",
            needed=_total(self._bundles),
            cluster=known(ray.cluster_resources()),
            free=free,
            fix="add nodes, end other jobs, or ask for less (learner.num_ranks); raise deadlines.provision_s",
        )


def actor_options(share: Bundle) -> dict[str, Any]:
    """Return the options for `ray.remote(...)` that give an actor its resources.

    Ray must not restart it: that would lose the weights. The pools replace an actor and load them again.
    """
    return {"num_cpus": share.get("CPU", 0), "num_gpus": share.get("GPU", 0), "max_restarts": 0}


def _total(bundles: list[Bundle]) -> dict[str, float]:
    return {resource: sum(bundle.get(resource, 0.0) for bundle in bundles) for resource in ("CPU", "GPU")}
