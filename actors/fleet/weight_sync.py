"""The transport of the learner's weights into the engines.

All engines pause, receive, check that the update is complete, and resume together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from actors.fleet.ranks import LearnerRanks
from actors.fleet.role_pools import RolloutPool
from actors.process.deadlines import GRACE_S, died, wait_for
from vlaa_ray.config import FleetConfig
from vlaa_ray.planning.failures import is_lost
from vlaa_ray.turns import OwnDevices, Turns

Failures = dict[Any, BaseException]
"""The actors that were lost during an update, each with its cause."""


class WeightSource(Protocol):
    """The owner of the weights that are sent, which gives them in buckets."""

    weight_version: int
    """The number of optimizer steps done."""
    node_id: str
    """Ray's id of the node in whose shared memory the buckets are."""
    turn: asyncio.Lock
    """The lock of a caller that makes several calls in a row, or that changes the weights."""

    async def manifest(self) -> list[Any]:
        """Return the names, dtypes and shapes of all tensors that `next_bucket` gives, as plain lists."""

    async def next_bucket(self) -> Any:
        """Return the next bucket of weights; None after the last. The caller must hold `turn` for the whole series."""

    def packed_bucket(self) -> Any:
        """Return a reference to the current bucket's bytes in Ray's object store."""


class WeightSync:
    """The transport as a `WeightSyncRole`: it sends whole updates from a source to the pool's engines.

    The source is the learner's ranks, or the folder of a model. Over NCCL it must be the ranks.
    """

    def __init__(
        self, config: FleetConfig, learner: WeightSource, rollouts: RolloutPool, turns: OwnDevices | Turns | None = None
    ) -> None:
        self._turns = turns or OwnDevices()
        self._deadline_s = config.weight_sync_s + GRACE_S
        self._over_nccl = config.transport == "nccl"
        self._ranks_per_engine = config.rollout.tensor_parallel_size
        self._learner, self._pool = learner, rollouts.pool
        self._pool.prepare = self._bring_up_to_date
        self._nodes: dict[Any, str] = {}  # the nodes of the engines whose manifest was compared
        self._group: list[Any] = []  # engines that are in the learner's NCCL group, in the order of their ranks

    async def publish(self) -> None:
        """See `WeightSyncRole`."""
        async with (
            self._turns.publishing(),
            self._learner.turn,
        ):  # so that there is no update in between, and all tensors have one version
            replicas = {replica.actor: replica for replica in self._pool.replicas}
            failed = await self._send(list(replicas))
        await asyncio.gather(*(self._pool.replace(replicas[actor], actor, error) for actor, error in failed.items()))

    async def _bring_up_to_date(self, actor: Any) -> None:
        """Send the learner's weights to a new engine; if it is lost meanwhile, its error is raised."""
        async with self._turns.publishing(to_all=False), self._learner.turn:
            failed = await self._send([actor])
        if failed:
            raise failed[actor]

    async def _send(self, actors: Sequence[Any]) -> Failures:
        """Send the learner's weights to the actors, and return the actors that were lost meanwhile with their causes.

        The caller must hold the learner's turn. Over NCCL, if an engine is lost in the middle of a broadcast, the
        learner waits for it until the deadline; then the run ends with LearnerError.
        """
        failed: Failures = {}
        engines = EngineCalls(list(actors), failed, self._deadline_s)
        await self._compare_manifests(actors, failed)
        await engines.all("to pause", lambda actor: actor.pause.remote())
        if self._over_nccl:
            await self._broadcast(engines)
        else:
            await self._send_buckets(engines)
        version = self._learner.weight_version
        await engines.all("to go on", lambda actor: actor.finish_and_resume.remote(version))
        return failed

    async def _compare_manifests(self, actors: Sequence[Any], failed: Failures) -> None:
        new = EngineCalls([actor for actor in actors if actor not in self._nodes], failed, self._deadline_s)
        if new.alive():
            wire = await self._learner.manifest()
            await new.all("to compare its manifest", lambda actor: actor.check_manifest.remote(wire))
            self._nodes |= await new.all("to say where it is", lambda actor: actor.node_id.remote())

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


class EngineCalls:
    """A set of actors that get the same calls; a lost actor gets no more calls."""

    def __init__(self, actors: list[Any], failed: Failures, timeout_s: float) -> None:
        self._actors, self._failed, self._timeout_s = actors, failed, timeout_s

    def alive(self) -> list[Any]:
        return [actor for actor in self._actors if actor not in self._failed]

    async def all(self, what: str, invoke: Callable[[Any], Awaitable[Any]]) -> dict[Any, Any]:
        """Return the answer of each living actor; an error is raised unless it is the loss of an actor."""
        alive = self.alive()
        calls = [wait_for(invoke(actor), self._timeout_s, f"an engine {what}") for actor in alive]
        answers = dict(zip(alive, await asyncio.gather(*calls, return_exceptions=True), strict=True))
        for actor, answer in answers.items():
            if not isinstance(answer, BaseException):
                continue
            if not is_lost(answer, process_died=died(answer)):
                raise answer
            self._failed[actor] = answer
        return {actor: answer for actor, answer in answers.items() if actor not in self._failed}
