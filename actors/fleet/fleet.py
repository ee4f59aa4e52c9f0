"""All actors of a GRPO run: where they are placed, how they start, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.fleet.placement import Reservation
from actors.fleet.ranks import LearnerRanks
from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.fleet.shared_devices import share_devices
from actors.fleet.sizes import FleetSizes
from actors.fleet.spawn import TrainingSpawner
from actors.fleet.weight_sync import WeightSync
from vlaa_ray.config import GrpoConfig
from vlaa_ray.planning.placement import plan
from vlaa_ray.roles import Roles
from vlaa_ray.run.session import RunSession
from vlaa_ray.turns import LearnerInTurn


class GrpoFleet:
    """The actors of a GRPO run: the learner as one gang, engines and reward actors one by one."""

    def __init__(self, config: GrpoConfig, run: RunSession) -> None:
        self._config, self._note = config, run.note
        self._reservation = Reservation(plan(config), config.learner.nodes)
        self._spawn = TrainingSpawner(config, run.log_dir, self._reservation)
        self._pools: list[RolloutPool | RewardPool] = []

    async def start(self) -> Roles:
        """Start all actors, and return the roles when every actor that the run needs is ready.

        Raises:
            PlacementError: the cluster has no room for an actor.
            VlaaRayError: an actor can't start.

        """
        config = self._config
        await self._reservation.wait(config.deadlines.provision_s, self._note)
        learner = LearnerRanks(config, self._spawn.learner)
        rollouts = RolloutPool(config, self._spawn.rollout, self._note)
        rewards = RewardPool(config, self._spawn.reward, self._note)
        self._pools = [rollouts, rewards]
        await asyncio.gather(rewards.start(), self._start_engines_and_learner(rollouts, learner))
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
        await asyncio.gather(*(pool.close() for pool in self._pools))

    async def _start_engines_and_learner(self, rollouts: RolloutPool, learner: LearnerRanks) -> None:
        config = self._config
        if config.colocated and config.learner.gpus_per_rank:
            await rollouts.start()  # first, and alone on its GPUs: vLLM measures their memory; the engines then sleep
            await learner.start()
        else:
            await asyncio.gather(learner.start(), rollouts.start())


@asynccontextmanager
async def open_fleet(config: GrpoConfig, run: RunSession) -> AsyncIterator[GrpoFleet]:
    """Yield the fleet of a run on the Ray cluster that this process has joined; nothing starts after the block."""
    fleet = GrpoFleet(config, run)
    try:
        yield fleet
    finally:
        await fleet.close()
