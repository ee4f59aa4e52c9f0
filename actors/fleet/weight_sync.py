"""The transport of the learner's weights into the engines.

All engines pause, receive, check that the update is complete, and resume together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from actors.fleet.newcomers import Newcomers
from actors.fleet.ranks import LearnerRanks
from actors.fleet.role_pools import RolloutPool
from actors.fleet.weight_source import EngineCalls, Failures, WeightSource
from actors.process.deadlines import GRACE_S
from vlaa_ray.config import FleetConfig
from vlaa_ray.errors import LearnerLost
from vlaa_ray.turns import OwnDevices, Turns


class WeightSync:
    """The transport as a `WeightSyncRole`: it sends whole updates from a source to the pool's engines.

    The source is the learner's ranks, or the folder of a model. Over NCCL it must be the ranks. An engine that joins
    gets the weights by itself, between two calls of the learner; if they change meanwhile, with the next publication.
    """

    def __init__(
        self, config: FleetConfig, learner: WeightSource, rollouts: RolloutPool, turns: OwnDevices | Turns | None = None
    ) -> None:
        self._turns = turns or OwnDevices()
        self._deadline_s = config.weight_sync_s + GRACE_S
        self._over_nccl = config.transport == "nccl"
        self._ranks_per_engine = config.rollout.tensor_parallel_size
        self._learner, self._pool = learner, rollouts.pool
        self._joins_alone = not (self._over_nccl or config.colocated) and learner.can_pause_series
        self._pool.prepare = self._bring_up_to_date
        self._newcomers = Newcomers(
            learner, self._deadline_s, self._compare_manifests, lambda: bool(self._pool.replicas)
        )
        self._nodes: dict[Any, str] = {}  # the nodes of the engines whose manifest was compared
        self._updating: list[Any] = []  # engines in the middle of an update
        self._group: list[Any] = []  # engines that are in the learner's NCCL group, in the order of their ranks

    async def publish(self) -> None:
        """See `WeightSyncRole`."""
        while True:
            try:
                return await self._publish()
            except LearnerLost as error:
                # engines that the update was broken off in hold weights of two versions
                for actor in self._updating:
                    self._pool.lose(actor, error, is_fault=False)
                async with self._turns.updating():  # the weights come anew in any case
                    await self._learner.recover()

    async def _publish(self) -> None:
        async with (
            self._turns.publishing(),
            self._learner.turn,
        ):  # so that there is no update in between, and all tensors have one version
            await self._newcomers.give_way()
            waiting = self._newcomers.waiting()
            failed = await self._send([*self._serving(), *waiting])
            self._newcomers.published(failed)
        for actor, error in failed.items():
            if actor not in waiting:
                self._pool.lose(actor, error)

    async def _bring_up_to_date(self, actor: Any, admit: Callable[[], None]) -> None:
        """Send the learner's weights to a new engine, and admit it; if it is lost meanwhile, its error is raised."""
        join = self._newcomers.join if self._joins_alone else self._join_in_turn
        while True:
            try:
                return await join(actor, admit)
            except LearnerLost:  # the engine takes its weights from the ranks that come back, or is lost as well
                async with self._turns.saving():
                    await self._learner.recover()

    async def _join_in_turn(self, actor: Any, admit: Callable[[], None]) -> None:
        async with self._turns.publishing(to_all=False), self._learner.turn:
            failed = await self._send([actor])
            if failed:
                raise failed[actor]
            admit()

    async def _send(self, actors: Sequence[Any]) -> Failures:
        """Send the learner's weights to the actors, and return the actors that were lost meanwhile with their causes.

        The caller must hold the learner's turn. Over NCCL, if an engine is lost in the middle of a broadcast, the
        learner waits for it until the deadline; then the run ends with LearnerError.
        """
        failed: Failures = {}
        engines = EngineCalls(list(actors), failed, self._deadline_s)
        await self._compare_manifests(actors, failed)
        self._updating = list(actors)
        await engines.all("to pause", lambda actor: actor.pause.remote())
        if self._over_nccl:
            await self._broadcast(engines)
        else:
            await self._send_buckets(engines)
        version = self._learner.weight_version
        await engines.all("to go on", lambda actor: actor.finish_and_resume.remote(version))
        self._updating = []
        return failed

    async def _compare_manifests(self, actors: Sequence[Any], failed: Failures) -> None:
        self._nodes = {actor: node for actor, node in self._nodes.items() if actor in {*actors, *self._serving()}}
        new = EngineCalls([actor for actor in actors if actor not in self._nodes], failed, self._deadline_s)
        if new.alive():
            wire = await self._learner.manifest()
            await new.all("to compare its manifest", lambda actor: actor.check_manifest.remote(wire))
            self._nodes |= await new.all("to say where it is", lambda actor: actor.node_id.remote())

    def _serving(self) -> list[Any]:
        return [replica.actor for replica in self._pool.replicas]

    async def _send_buckets(self, engines: EngineCalls) -> None:
        away = {actor for actor in engines.alive() if self._nodes[actor] != self._learner.node_id}
        await engines.all("to start the update", lambda actor: actor.start_weight_update.remote())
        bucket = await self._learner.next_bucket()
        while bucket is not None:
            data = self._learner.packed_bucket() if away else None

            def update(actor: Any, bucket: Any = bucket, data: Any = data) -> Any:
                return actor.load_bucket.remote(bucket, data if actor in away else None)

            loading = engines.all("to load weights", update)
            if bucket.is_last:  # the end of the series removes its file
                await loading
                bucket = await self._learner.next_bucket()
            else:  # the learner writes the next bucket while the engines load this one
                _, bucket = await asyncio.gather(loading, self._learner.next_bucket())

    async def _broadcast(self, engines: EngineCalls) -> None:
        assert isinstance(self._learner, LearnerRanks)  # the config says so: folders are read without NCCL
        learner = self._learner
        if engines.alive() != self._group:  # the first time, and whenever an engine was lost or replaced
            self._group = engines.alive()
            num_engine_ranks = len(self._group) * self._ranks_per_engine
            address, port, _ = await learner.meeting_point()

            def join(actor: Any) -> Any:
                rank = 1 + self._group.index(actor) * self._ranks_per_engine
                return actor.join_broadcast.remote(address, port, rank, 1 + num_engine_ranks)

            opened = learner.open_broadcast(address, port, num_engine_ranks)
            await asyncio.gather(opened, engines.all("to join the broadcast", join))
        await engines.all("to start the update", lambda actor: actor.start_weight_update.remote())
        await asyncio.gather(
            learner.broadcast(), engines.all("to receive weights", lambda actor: actor.receive_broadcast.remote())
        )
