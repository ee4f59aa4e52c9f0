"""The connection of a run to Ray, and the reservation of all bundles of its plan."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.process.environment import require_own_gpus
from actors.process.own_ray import start_own_ray
from vlaa_ray.config import AnyConfig
from vlaa_ray.errors import PlacementError
from vlaa_ray.planning.placement import Placement, parts

_REPORT_EVERY_S = 30.0
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
    """The reserved bundles of a run; after `wait`, `options(role, index)` puts an actor into its bundle."""

    def __init__(self, plan: Placement) -> None:
        self._plan = plan
        self._bundles = plan.reserved()
        num_ranks = len(plan.bundles.get("learner", ()))
        ranks = sorted({plan.seat("learner", rank).number for rank in range(num_ranks)})
        self._parts = parts(self._bundles, ranks, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        self._groups: list[PlacementGroup] = []
        self._places: dict[int, tuple[PlacementGroup, int]] = {}  # of each bundle: its group, and its index there

    async def wait(self, timeout_s: float, note: Callable[[str], None]) -> None:
        """Wait until the cluster has reserved all bundles; `note` gets a line about the wait every 30 seconds.

        Raises:
            PlacementError: they are not reserved after `timeout_s` seconds.

        """
        start = reported = time.monotonic()
        for part in self._parts:  # one after another, so that nothing else takes the node of the ranks
            group = placement_group([self._bundles[number] for number in part.numbers], strategy=part.strategy)
            self._groups.append(group)
            self._places |= {number: (group, index) for index, number in enumerate(part.numbers)}
            while placement_group_table(group)["state"] != _RESERVED:  # `wait` cuts its timeout to whole seconds
                now = time.monotonic()
                if now - start >= timeout_s:
                    raise self._no_room(timeout_s)
                if now - reported >= _REPORT_EVERY_S:
                    free = _known(ray.available_resources())
                    note(f"waiting for resources: needed {_total(self._bundles)}, free {free}")
                    reported = now
                await asyncio.sleep(_POLL_S)

    def _no_room(self, timeout_s: float) -> PlacementError:
        """Give back what is reserved, and return the error to raise."""
        free = _known(ray.available_resources())
        for group in self._groups:
            remove_placement_group(group)
        return PlacementError(
            f"the cluster had no room for the run within {timeout_s:g} s",
            needed=_total(self._bundles),
            cluster=_known(ray.cluster_resources()),
            free=free,
            fix="add nodes, end other jobs, or ask for less (rollout.num_actors, learner.num_ranks)",
        )

    def options(self, role: str, index: int) -> dict[str, Any]:
        """Return the options for `ray.remote(...)` that put the actor with this index of the role into its bundle."""
        seat = self._plan.seat(role, index)
        group, place = self._places[seat.number]
        return {
            "num_cpus": seat.share.get("CPU", 0),
            "num_gpus": seat.share.get("GPU", 0),
            "max_restarts": 0,  # Ray's restart would lose the weights: the pools replace an actor and load them again
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                group, placement_group_bundle_index=place, placement_group_capture_child_tasks=True
            ),
        }

    def num_on_node(self, role: str, index: int, count: int) -> int:
        """Return how many of the first `count` processes of the role are on the node of this one; after `wait`."""
        nodes = [self._node(role, number) for number in range(count)]
        return nodes.count(nodes[index])

    def _node(self, role: str, index: int) -> str:
        group, place = self._places[self._plan.seat(role, index).number]
        return str(placement_group_table(group)["bundles_to_node_id"][place])


def _total(bundles: list[dict[str, float]]) -> dict[str, float]:
    return {resource: sum(bundle.get(resource, 0.0) for bundle in bundles) for resource in ("CPU", "GPU")}


def _known(resources: dict[str, float]) -> dict[str, float]:
    return {resource: resources.get(resource, 0.0) for resource in ("CPU", "GPU")}
