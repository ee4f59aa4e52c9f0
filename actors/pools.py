"""Replicas that stand in for each other: rollout and reward actors, replaced when they are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError

from actors.ranks import LearnerRanks
from actors.waiting import wait_for, wait_for_all
from vlaa_ray.config import RunConfig
from vlaa_ray.errors import (
    DeadlineExceeded,
    RewardError,
    RolloutError,
    RolloutFleetExhausted,
    VlaaRayError,
    WeightSyncError,
)
from vlaa_ray.records import Completion, Prompt, RewardResult, Sampled
from vlaa_ray.roles import LearnerRole, SampleRequest

Spawn = Callable[[int], Any]
"""The number of a replica to the handle of a new actor for it."""
Prepare = Callable[[Any], Awaitable[None]]
"""What a new actor needs before it may serve."""
Note = Callable[[str], None]
Result = TypeVar("Result")
_GRACE_S = 15.0  # what a remote call may take longer than its own deadline
_LOSSES = (RayActorError, DeadlineExceeded, RolloutError, WeightSyncError)


@dataclass(eq=False)
class _Replica:
    index: int
    actor: Any
    load: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pool:
    """Numbered replicas with a budget of replacements; a call goes to the least busy one."""

    def __init__(self, role: str, spawn: Spawn, size: int, max_restarts: int, start_s: float, note: Note) -> None:
        self._role = role
        self._spawn = spawn
        self._max_restarts = max_restarts
        self._start_s = start_s
        self._note = note
        self.restarts = 0
        self.replicas = [_Replica(index, spawn(index)) for index in range(size)]

    async def start(self) -> None:
        await wait_for_all(
            [replica.actor.start.remote() for replica in self.replicas], self._start_s, f"{self._role} actors to start"
        )

    async def call(
        self, invoke: Callable[[Any], Awaitable[Result]], timeout_s: float, what: str, prepare: Prepare | None = None
    ) -> Result:
        """The result from any replica; one that dies or hangs is replaced, and the call made again elsewhere."""
        while True:
            free = [replica for replica in self.replicas if not replica.lock.locked()]
            replica = min(free or self.replicas, key=lambda one: one.load, default=None)
            if replica is None:
                raise self.exhausted("none is left")
            actor = replica.actor
            replica.load += 1
            try:
                return await wait_for(invoke(actor), timeout_s + _GRACE_S, what)
            except _LOSSES as error:
                await self.replace(replica, actor, error, prepare)
            finally:
                replica.load -= 1

    async def replace(self, replica: _Replica, lost: Any, error: BaseException, prepare: Prepare | None = None) -> None:
        """A new actor in the place of `lost`, ready to serve; the first of many callers does it, the others wait."""
        async with replica.lock:
            if replica.actor is not lost or replica not in self.replicas:
                return
            ray.kill(lost)
            if self.restarts >= self._max_restarts:
                self.replicas.remove(replica)
                self._note(f"{self._role} actor {replica.index} is lost for good: {_first_line(error)}")
                if not self.replicas:
                    raise self.exhausted(_first_line(error)) from error
                return
            self.restarts += 1
            self._note(f"{self._role} actor {replica.index} is lost and being replaced: {_first_line(error)}")
            actor = self._spawn(replica.index)
            await wait_for(actor.start.remote(), self._start_s, f"a new {self._role} actor to start")
            if prepare is not None:
                await prepare(actor)
            replica.actor = actor

    def exhausted(self, cause: str) -> VlaaRayError:
        kind = RolloutFleetExhausted if self._role == "rollout" else RewardError
        return kind(
            f"no {self._role} actor is left, and no more may be replaced",
            restarts=self.restarts,
            last=cause,
            fix=f"look at logs/{self._role}_*.log in the run folder; the last checkpoint can be resumed",
        )

    async def max_rss_bytes(self) -> float:
        """Of the largest replica; 0 while none answers."""
        answers = await asyncio.gather(
            *(wait_for(replica.actor.rss_bytes.remote(), _GRACE_S, "memory") for replica in self.replicas),
            return_exceptions=True,
        )
        return max((float(one) for one in answers if isinstance(one, int)), default=0.0)


class RolloutPool:
    """Implements `RolloutRole`."""

    def __init__(self, config: RunConfig, spawn: Spawn, note: Note) -> None:
        rollout, self._deadlines = config.rollout, config.deadlines
        self._pool = Pool("rollout", spawn, rollout.num_actors, rollout.max_restarts, self._deadlines.start_s, note)
        self._learner: LearnerRanks | None = None
        self._nodes: dict[Any, str] = {}  # of engines whose manifest was compared
        self._sync = asyncio.Lock()

    async def start(self) -> None:
        await self._pool.start()

    async def sample(self, request: SampleRequest) -> Sampled:
        return await self._pool.call(
            lambda actor: actor.sample.remote(request),
            self._deadlines.rollout_s,
            f"completions of prompt {request.prompt.prompt_id}",
            self._bring_up_to_date,
        )

    async def load_weights(self, learner: LearnerRole) -> None:
        assert isinstance(learner, LearnerRanks)
        self._learner = learner
        replicas = list(self._pool.replicas)
        lost = await self._send([replica.actor for replica in replicas])
        for replica in replicas:
            if replica.actor in lost:
                await self._pool.replace(replica, replica.actor, lost[replica.actor], self._bring_up_to_date)

    async def metrics(self) -> dict[str, float]:
        return {"memory/rollout_rss_bytes": await self._pool.max_rss_bytes(), "rollout/restarts": self._pool.restarts}

    async def _bring_up_to_date(self, actor: Any) -> None:
        for error in (await self._send([actor])).values():
            raise error

    async def _send(self, actors: list[Any]) -> dict[Any, BaseException]:
        """Send the learner's weights to the actors; those that were lost on the way, with the cause."""
        learner = self._learner
        assert learner is not None
        lost: dict[Any, BaseException] = {}

        async def on_all(invoke: Callable[[Any], Awaitable[Any]], what: str) -> None:
            alive = [actor for actor in actors if actor not in lost]
            calls = [wait_for(invoke(actor), self._deadlines.weight_sync_s + _GRACE_S, what) for actor in alive]
            for actor, answer in zip(alive, await asyncio.gather(*calls, return_exceptions=True), strict=True):
                if isinstance(answer, _LOSSES):
                    lost[actor] = answer
                elif isinstance(answer, BaseException):
                    raise answer

        async with self._sync:
            await self._check_manifest(actors, learner)
            away = {actor for actor in actors if self._nodes[actor] != learner.node_id}
            await on_all(lambda actor: actor.start_weight_update.remote(), "the engine to pause")
            while (bucket := await learner.next_bucket()) is not None:
                data = learner.packed_bucket() if away else None
                await on_all(
                    lambda actor, bucket=bucket, data=data: actor.update_weights.remote(
                        bucket, data if actor in away else None
                    ),
                    "the engine to load weights",
                )
            await on_all(lambda actor: actor.resume.remote(learner.weight_version), "the engine to go on")
        return lost

    async def _check_manifest(self, actors: Sequence[Any], learner: LearnerRanks) -> None:
        """Before an engine's first update: it holds exactly the learner's tensors. An error here is the run's."""
        new = [actor for actor in actors if actor not in self._nodes]
        if not new:
            return
        wire = await learner.manifest()
        timeout_s = self._deadlines.weight_sync_s
        await wait_for_all(
            [actor.check_manifest.remote(wire) for actor in new], timeout_s, "the manifest to be compared"
        )
        nodes = await wait_for_all([actor.node_id.remote() for actor in new], timeout_s, "the engines' nodes")
        self._nodes.update(zip(new, nodes, strict=True))


class RewardPool:
    """Implements `RewardRole`."""

    def __init__(self, config: RunConfig, spawn: Spawn, note: Note) -> None:
        rewards, self._deadlines = config.rewards, config.deadlines
        self._pool = Pool("reward", spawn, rewards.num_actors, rewards.max_restarts, self._deadlines.start_s, note)
        self._busy_s = 0.0

    async def start(self) -> None:
        await self._pool.start()

    async def score(self, prompt: Prompt, completions: Sequence[Completion]) -> list[RewardResult]:
        results, seconds = await self._pool.call(
            lambda actor: actor.score.remote(prompt, list(completions)),
            self._deadlines.reward_s,
            f"rewards of prompt {prompt.prompt_id}",
        )
        self._busy_s += seconds
        return results

    async def metrics(self) -> dict[str, float]:
        busy, self._busy_s = self._busy_s / max(len(self._pool.replicas), 1), 0.0
        memory = await self._pool.max_rss_bytes()
        return {"memory/reward_rss_bytes": memory, "reward/restarts": self._pool.restarts, "time/reward_s": busy}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
