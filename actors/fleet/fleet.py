"""All actors of a GRPO run: where they are placed, how they start, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ray

from actors.fleet.notices import Notices, head_node
from actors.fleet.placement import Reservation
from actors.fleet.pool import Pool
from actors.fleet.ranks import LearnerRanks
from actors.fleet.restarting_ranks import RestartingRanks
from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.fleet.shared_devices import share_devices
from actors.fleet.sizes import FleetSizes
from actors.fleet.spawn import TrainingSpawner
from actors.fleet.weight_sync import WeightSync
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import PlacementError
from vlaa_ray.planning.placement import plan
from vlaa_ray.roles import Roles
from vlaa_ray.run.session import RunSession
from vlaa_ray.turns import LearnerInTurn

_ROOM_S = 30.0
"""The seconds that ranks wait for room for all of them before fewer are tried, where fewer may do."""


class GrpoFleet:
    """The actors of a GRPO run: the learner as one gang, engines and reward actors one by one."""

    def __init__(self, config: GrpoConfig, run: RunSession, spawner: type[TrainingSpawner] = TrainingSpawner) -> None:
        self._config, self._run, self._note = config, run, run.note
        self._reservation = Reservation(plan(config), config.learner.nodes)
        self._spawner = spawner
        self._spawn = spawner(config, run.log_dir, self._reservation)
        self._pools: list[RolloutPool | RewardPool] = []
        self._watching: asyncio.Task[None] | None = None
        self._announced: Notices | None = None
        self._rank_nodes: set[str] = set()

    async def start(self) -> Roles:
        """Start all actors, and return the roles when every actor that the run needs is ready.

        Raises:
            PlacementError: the cluster has no room for an actor.
            VlaaRayError: an actor can't start.

        """
        config = self._config
        await self._reservation.wait(config.deadlines.provision_s, self._note)
        self._rank_nodes = self._reservation.nodes()
        learner = RestartingRanks(
            config, self._spawn.learner, self._respawn, self._run.saved_checkpoints, self._note, self._is_leaving
        )
        rollouts = RolloutPool(config, self._spawn.rollout, self._note)
        rewards = RewardPool(config, self._spawn.reward, self._note)
        self._pools = [rollouts, rewards]
        await asyncio.gather(rewards.start(), self._start_engines_and_learner(rollouts, learner))
        self._watching = asyncio.create_task(self._notices([rollouts.pool, rewards.pool]).watch())
        sizes = FleetSizes(config, rollouts, rewards, self._note)
        if not config.colocated:
            weight_sync = WeightSync(config, learner, rollouts)
            return Roles(rollouts=rollouts, rewards=rewards, learner=learner, weight_sync=weight_sync, fleet=sizes)
        turns = share_devices(config, learner, rollouts)
        return Roles(
            rollouts=rollouts,
            rewards=rewards,
            learner=LearnerInTurn(learner, turns),
            weight_sync=WeightSync(config, learner, rollouts, turns),
            fleet=sizes,
        )

    async def close(self) -> None:
        """Start nothing more."""
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(*(pool.close() for pool in self._pools))

    def _notices(self, pools: list[Pool]) -> Notices:
        driver, head = ray.get_runtime_context().get_node_id(), head_node()

        def needed() -> dict[str, str]:
            return {head: "head", driver: "driver", **dict.fromkeys(self._rank_nodes, "learner")}

        self._announced = Notices(pools, self._run, needed)
        return self._announced

    def _is_leaving(self) -> bool:
        """Return True if the end of a node of the ranks was announced."""
        return self._announced is not None and bool(self._rank_nodes & self._announced.seen)

    async def _respawn(self) -> list[Any]:
        """Return new ranks, as many as there is room for; see `restarting_ranks.Respawn`."""
        config, section = self._config, self._config.learner
        if config.colocated:  # the engines keep their places
            return [self._spawn.learner(rank) for rank in range(section.num_ranks)]
        for count in range(section.num_ranks, section.fewest_ranks - 1, -1):
            self._reservation.release()
            fewer = config.model_copy(update={"learner": section.model_copy(update={"num_ranks": count})})
            self._reservation = Reservation(plan(fewer), section.nodes)
            is_last = count == section.fewest_ranks
            try:
                await self._reservation.wait(config.deadlines.provision_s if is_last else _ROOM_S, self._note)
            except PlacementError:
                if is_last:
                    raise
                self._note(f"there is no room for {count} ranks of the learner; trying {count - 1}")
                continue
            self._rank_nodes = self._reservation.nodes()
            spawn = self._spawner(fewer, self._run.log_dir, self._reservation)
            return [spawn.learner(rank) for rank in range(count)]
        raise AssertionError("the last attempt returns or raises")

    async def _start_engines_and_learner(self, rollouts: RolloutPool, learner: LearnerRanks) -> None:
        config = self._config
        if config.colocated and config.learner.gpus_per_rank:
            await rollouts.start()  # first, and alone on its GPUs: vLLM measures their memory; the engines then sleep
            await learner.start()
        else:
            await asyncio.gather(learner.start(), rollouts.start())


@asynccontextmanager
async def open_fleet(
    config: GrpoConfig, run: RunSession, spawner: type[TrainingSpawner] = TrainingSpawner
) -> AsyncIterator[GrpoFleet]:
    """Yield the fleet of a run on the Ray cluster that this process has joined; nothing starts after the block."""
    fleet = GrpoFleet(config, run, spawner)
    try:
        yield fleet
    finally:
        await fleet.close()
