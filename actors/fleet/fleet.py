"""All actors of a GRPO run: where they are placed, how they start, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import ray

from actors.fleet.head_watch import HeadWatch
from actors.fleet.learner_places import LearnerPlaces
from actors.fleet.notices import Notices, head_node
from actors.fleet.pool import Pool
from actors.fleet.ranks import LearnerRanks
from actors.fleet.restarting_ranks import RestartingRanks
from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.fleet.shared_devices import share_devices
from actors.fleet.sizes import FleetSizes
from actors.fleet.spawn import TrainingSpawner
from actors.fleet.weight_sync import WeightSync
from vlaa_ray.config import GrpoConfig
from vlaa_ray.roles import Roles
from vlaa_ray.run.session import RunSession
from vlaa_ray.turns import LearnerInTurn


class GrpoFleet:
    """The actors of a GRPO run: the learner as one gang, engines and reward actors one by one."""

    def __init__(self, config: GrpoConfig, run: RunSession, spawner: type[TrainingSpawner] = TrainingSpawner) -> None:
        self._config, self._run, self._note = config, run, run.note
        self._places = LearnerPlaces(config, run.log_dir, spawner, run.note, self._is_announced)
        self._pools: list[RolloutPool | RewardPool] = []
        self._watching: list[asyncio.Task[None]] = []
        self._announced: Notices | None = None

    async def start(self) -> Roles:
        """Start all actors, and return the roles when every actor that the run needs is ready.

        Raises:
            PlacementError: the cluster has no room for an actor.
            VlaaRayError: an actor can't start.

        """
        config = self._config
        await self._places.reserve()
        learner = RestartingRanks(config, self._places, self._run)
        spawner = self._places.spawner
        rollouts = RolloutPool(config, spawner.rollout, self._note)
        rewards = RewardPool(config, spawner.reward, self._note)
        self._pools = [rollouts, rewards]
        await asyncio.gather(rewards.start(), self._start_engines_and_learner(rollouts, learner))
        head = HeadWatch(self._run, ray.get_runtime_context().gcs_address)
        watches = (self._notices([rollouts.pool, rewards.pool]).watch(), head.watch())
        self._watching = [asyncio.create_task(watch) for watch in watches]
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
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*(pool.close() for pool in self._pools))

    def _notices(self, pools: list[Pool]) -> Notices:
        driver, head = ray.get_runtime_context().get_node_id(), head_node()

        def needed() -> dict[str, str]:
            return {head: "head", driver: "driver", **dict.fromkeys(self._places.nodes, "learner")}

        self._announced = Notices(pools, self._run, needed)
        return self._announced

    def _is_announced(self, node: str) -> bool:
        """Return True if the end of the node was announced."""
        return self._announced is not None and node in self._announced.seen

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
