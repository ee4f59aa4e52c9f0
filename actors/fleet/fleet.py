"""All actors of a GRPO run: where they are placed, how they start, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import ray

from actors.fleet.actor_logs import ActorLogs
from actors.fleet.fleet_health import learner_health, pool_health
from actors.fleet.head_watch import HeadWatch
from actors.fleet.learner_places import LearnerPlaces
from actors.fleet.nodes import NewNodes
from actors.fleet.notices import Notices, head_node
from actors.fleet.pool import Pool
from actors.fleet.ranks import LearnerRanks
from actors.fleet.restarting_ranks import RestartingRanks
from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.fleet.shared_devices import share_devices
from actors.fleet.sizes import FleetSizes
from actors.fleet.spawn import TrainingSpawner
from actors.fleet.weight_sync import WeightSync
from actors.process.ray_metrics import exported
from vlaa_ray.config import GrpoConfig
from vlaa_ray.monitoring.health import Values
from vlaa_ray.roles import Roles
from vlaa_ray.run.session import RunSession
from vlaa_ray.turns import LearnerInTurn


class GrpoFleet:
    """The actors of a GRPO run: the learner as one gang, engines and reward actors one by one."""

    def __init__(self, config: GrpoConfig, run: RunSession, spawner: type[TrainingSpawner] = TrainingSpawner) -> None:
        self._config, self._run, self._note = config, run, run.note
        self._places = LearnerPlaces(config, run.log_dir, spawner, run.note, self._is_announced)
        self._pools: list[RolloutPool | RewardPool] = []
        self._learner: RestartingRanks | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._announced: Notices | None = None
        self._logs = ActorLogs(run.log_dir)
        self._head: HeadWatch | None = None

    async def start(self) -> Roles:
        """Start all actors, and return the roles when every actor that the run needs is ready.

        Raises:
            PlacementError: the cluster has no room for an actor.
            VlaaRayError: an actor can't start.

        """
        config = self._config
        new_nodes = NewNodes(config, self._run.path, self._note)
        self._places.is_fit = new_nodes.is_fit
        await self._places.reserve()
        learner = self._learner = RestartingRanks(config, self._places, self._run)
        learner.lost = self._fetch_logs_of_ranks
        spawner = self._places.spawner
        rollouts = RolloutPool(config, spawner.rollout, self._note)
        rewards = RewardPool(config, spawner.reward, self._note)
        self._pools = [rollouts, rewards]
        for pool in (rollouts.pool, rewards.pool):
            pool.lost = self._logs.fetch
            if not config.colocated:  # else engines have their reserved places
                pool.is_fit = new_nodes.is_fit
        await asyncio.gather(rewards.start(), self._start_engines_and_learner(rollouts, learner))
        self._head = HeadWatch(self._run, ray.get_runtime_context().gcs_address)
        watches = (self._notices([rollouts.pool, rewards.pool]).watch(), self._head.watch())
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

    def health(self) -> Values:
        """Return the health of all actors, by its names in the table of `monitoring.health`."""
        values = {} if self._learner is None else learner_health(self._learner)
        for role, pool in zip(("rollout", "reward"), self._pools, strict=False):
            values |= pool_health(role, pool.pool)
        return values

    async def close(self) -> None:
        """Start nothing more."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*(pool.close() for pool in self._pools))
        if self._head is None or not self._head.is_gone:
            await self._logs.fetch_all()

    def _notices(self, pools: list[Pool]) -> Notices:
        driver, head = ray.get_runtime_context().get_node_id(), head_node()

        def needed() -> dict[str, str]:
            return {head: "head", driver: "driver", **dict.fromkeys(self._places.nodes, "learner")}

        self._announced = Notices(pools, self._run, needed)
        return self._announced

    def _is_announced(self, node: str) -> bool:
        """Return True if the end of the node was announced."""
        return self._announced is not None and node in self._announced.seen

    def _fetch_logs_of_ranks(self) -> None:
        for node in self._places.nodes:
            self._logs.fetch(node)

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
    """Yield the fleet of a run on the Ray cluster that this process has joined; nothing starts after the block.

    At its end, the logs of actors on other nodes are brought to the run's folder.
    """
    fleet = GrpoFleet(config, run, spawner)
    with exported(run, [fleet.health]):
        try:
            yield fleet
        finally:
            await fleet.close()
