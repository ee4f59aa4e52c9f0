"""Devices that engines and learner ranks share: what their turns need, as calls to the actors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import ray

from actors.fleet.ranks import LearnerRanks
from actors.fleet.role_pools import RolloutPool
from actors.fleet.weight_source import EngineCalls, Failures
from actors.process.deadlines import GRACE_S
from vlaa_ray.config import GrpoConfig
from vlaa_ray.turns import Turns


def share_devices(config: GrpoConfig, learner: LearnerRanks, rollouts: RolloutPool) -> Turns:
    """Return the turns of a learner and engines that have started; the pool's calls take theirs from now on."""
    limits = config.deadlines
    # a turn waits for those before it: running samples, a new engine, an update and its weights, a checkpoint
    longest_s = limits.rollout_s + limits.start_s + limits.learn_s + limits.weight_sync_s + limits.checkpoint_s
    # and ranks that start again load a checkpoint, and learn once more what came after it
    restart_s = limits.start_s + limits.checkpoint_s + config.checkpoint.every_steps * limits.learn_s
    turns = Turns(FleetDevices(config, learner, rollouts), deadline_s=longest_s + restart_s)
    rollouts.pool.turn = turns.sampling
    return turns


class FleetDevices:
    """The engines of the pool and the ranks of the learner, as `SharedDevices`."""

    def __init__(self, config: GrpoConfig, learner: LearnerRanks, rollouts: RolloutPool) -> None:
        self._learner, self._pool = learner, rollouts.pool
        self._move_s = config.deadlines.weight_sync_s + GRACE_S

    async def sleep(self, *, keep_weights: bool) -> None:
        """See `SharedDevices`."""
        await self._engines("to fall asleep", lambda actor: actor.sleep.remote(keep_weights))

    async def wake_weights(self) -> None:
        """See `SharedDevices`."""
        await self._engines("to wake its weights", lambda actor: actor.wake_weights.remote())

    async def wake_cache(self) -> None:
        """See `SharedDevices`."""
        await self._engines("to wake up", lambda actor: actor.wake_cache.remote())

    async def load_learner(self) -> None:
        """See `SharedDevices`."""
        await self._learner.reload()

    async def offload_learner(self) -> None:
        """See `SharedDevices`."""
        await self._learner.offload()

    async def _engines(self, what: str, invoke: Callable[[Any], Awaitable[Any]]) -> None:
        """Call the engines of the pool; one that fails is ended, as it may hold memory that is no longer its own.

        The pool replaces it when a call to it fails. A new engine is not in the pool before it has weights: until then
        it sleeps by itself.
        """
        lost: Failures = {}
        actors = [replica.actor for replica in self._pool.replicas]
        await EngineCalls(actors, lost, self._move_s).all(what, invoke)
        for actor in lost:
            ray.kill(actor)
