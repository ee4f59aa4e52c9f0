"""The learner's weights on their way into rollout actors: everyone pauses, receives, proves and goes on together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ray.exceptions import ObjectLostError, RayActorError

from actors.fleet.ranks import LearnerRanks
from actors.process.deadlines import wait_for
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import DeadlineExceeded, RolloutError, WeightSyncError

ACTOR_FAILURES = (RayActorError, ObjectLostError, DeadlineExceeded, RolloutError, WeightSyncError)
"""Errors after which an actor is replaced."""
GRACE_S = 15.0
"""What a remote call may take longer than its own deadline."""
Lost = dict[Any, BaseException]


class WeightSync:
    """Sends whole updates. The caller holds the learner's turn, so that an engine gets all tensors of one version."""

    def __init__(self, config: GrpoConfig) -> None:
        self._deadline_s = config.deadlines.weight_sync_s + GRACE_S
        self._over_nccl = config.weight_sync.transport == "nccl"
        self._ranks_per_engine = config.rollout.tensor_parallel_size
        self._nodes: dict[Any, str] = {}  # of engines whose manifest was compared
        self._group: list[Any] = []  # engines that are in the learner's NCCL group, in the order of their ranks

    async def send(self, learner: LearnerRanks, actors: Sequence[Any]) -> Lost:
        """Bring the actors to the learner's version; those that were lost on the way, with the cause.

        ModelError if an engine doesn't hold exactly the learner's tensors. Over NCCL the loss of an engine in the
        middle of a broadcast leaves the learner waiting: it ends the run, as LearnerError, at the deadline.
        """
        lost: Lost = {}
        engines = _Engines(list(actors), lost, self._deadline_s)
        await self._compare_manifests(learner, actors, lost)
        await engines.all("to pause", lambda actor: actor.pause.remote())
        if self._over_nccl:
            await self._broadcast(learner, engines)
        else:
            await self._send_buckets(learner, engines)
        await engines.all("to go on", lambda actor: actor.resume.remote(learner.weight_version))
        return lost

    async def _compare_manifests(self, learner: LearnerRanks, actors: Sequence[Any], lost: Lost) -> None:
        new = _Engines([actor for actor in actors if actor not in self._nodes], lost, self._deadline_s)
        if new.alive():
            wire = await learner.manifest()
            await new.all("to compare its manifest", lambda actor: actor.check_manifest.remote(wire))
            self._nodes |= await new.all("to say where it is", lambda actor: actor.node_id.remote())

    async def _send_buckets(self, learner: LearnerRanks, engines: _Engines) -> None:
        away = {actor for actor in engines.alive() if self._nodes[actor] != learner.node_id}
        await engines.all("to start the update", lambda actor: actor.start_weight_update.remote())
        while (bucket := await learner.next_bucket()) is not None:
            data = learner.packed_bucket() if away else None

            def update(actor: Any, bucket: Any = bucket, data: Any = data) -> Any:
                return actor.update_weights.remote(bucket, data if actor in away else None)

            await engines.all("to load weights", update)

    async def _broadcast(self, learner: LearnerRanks, engines: _Engines) -> None:
        if engines.alive() != self._group:  # the first time, and whenever an engine was lost or replaced
            self._group = engines.alive()
            num_engine_ranks = len(self._group) * self._ranks_per_engine
            address, port, _ = await learner.meeting_point()

            def join(actor: Any) -> Any:
                rank = 1 + self._group.index(actor) * self._ranks_per_engine
                return actor.join_broadcast.remote(address, port, rank, 1 + num_engine_ranks)

            await asyncio.gather(
                learner.open_broadcast(address, port, num_engine_ranks), engines.all("to join the broadcast", join)
            )
        await engines.all("to start the update", lambda actor: actor.start_weight_update.remote())
        await asyncio.gather(
            learner.broadcast(), engines.all("to receive weights", lambda actor: actor.receive_broadcast.remote())
        )


class _Engines:
    """Actors that are called alike; one that is lost is called no more."""

    def __init__(self, actors: list[Any], lost: Lost, timeout_s: float) -> None:
        self._actors, self._lost, self._timeout_s = actors, lost, timeout_s

    def alive(self) -> list[Any]:
        return [actor for actor in self._actors if actor not in self._lost]

    async def all(self, what: str, invoke: Callable[[Any], Awaitable[Any]]) -> dict[Any, Any]:
        """Each living actor's answer; what isn't the loss of an actor is raised."""
        alive = self.alive()
        calls = [wait_for(invoke(actor), self._timeout_s, f"an engine {what}") for actor in alive]
        answers = dict(zip(alive, await asyncio.gather(*calls, return_exceptions=True), strict=True))
        for actor, answer in answers.items():
            if isinstance(answer, ACTOR_FAILURES):
                self._lost[actor] = answer
            elif isinstance(answer, BaseException):
                raise answer
        return {actor: answer for actor, answer in answers.items() if actor not in self._lost}
