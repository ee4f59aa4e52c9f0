"""Replicas that stand in for each other: rollout and reward actors, replaced when they are lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError

from actors.fleet.ranks import LearnerRanks
from actors.fleet.weight_sync import ACTOR_FAILURES, GRACE_S, WeightSync
from actors.process.deadlines import first_line, wait_for, wait_for_all
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import (
    RewardError,
    RolloutFleetExhausted,
    VlaaRayError,
)
from vlaa_ray.records import Completion, Prompt, RewardResult, SampledGroup
from vlaa_ray.roles import LearnerRole, SampleRequest

Spawn = Callable[[int], Any]
"""The number of a replica to the handle of a new actor for it."""
Prepare = Callable[[Any], Awaitable[None]]
"""What a new actor needs before it may serve."""
Note = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(eq=False)
class _Replica:
    index: int
    actor: Any
    slots: asyncio.Semaphore
    load: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pool:
    """Numbered replicas with a budget of replacements; a call goes to the least busy one.

    A replica is given `at_once` calls at most: a call's deadline begins when it is its turn.
    """

    def __init__(
        self, role: str, spawn: Spawn, size: int, max_restarts: int, start_s: float, note: Note, at_once: int
    ) -> None:
        self._role = role
        self._spawn = spawn
        self._max_restarts = max_restarts
        self._start_s = start_s
        self._note = note
        self.restarts = 0
        self.replicas = [_Replica(index, spawn(index), asyncio.Semaphore(at_once)) for index in range(size)]

    async def start(self) -> None:
        starts = [replica.actor.start.remote() for replica in self.replicas]
        try:
            await wait_for_all(starts, self._start_s, f"{self._role} actors to start")
        except RayActorError as error:
            raise self._error(f"a {self._role} actor died as it started", first_line(error)) from error

    async def call(
        self, invoke: Callable[[Any], Awaitable[Result]], timeout_s: float, what: str, prepare: Prepare | None = None
    ) -> Result:
        """The result from any replica; one that dies or hangs is replaced, and the call made again elsewhere."""
        while True:
            free = [replica for replica in self.replicas if not replica.lock.locked()]
            replica = min(free or self.replicas, key=lambda one: one.load, default=None)
            if replica is None:
                raise self.exhausted("none is left")
            replica.load += 1
            try:
                async with replica.slots:
                    actor = replica.actor
                    try:
                        return await wait_for(invoke(actor), timeout_s + GRACE_S, what)
                    except ACTOR_FAILURES as error:
                        await self.replace(replica, actor, error, prepare)
            finally:
                replica.load -= 1

    async def replace(self, replica: _Replica, lost: Any, error: BaseException, prepare: Prepare | None = None) -> None:
        """A new actor in the place of `lost`, ready to serve; the first of many callers does it, the others wait."""
        async with replica.lock:
            if replica.actor is not lost or replica not in self.replicas:
                return
            ray.kill(lost)
            while self.restarts < self._max_restarts:
                self.restarts += 1
                self._note(f"{self._role} actor {replica.index} is lost and being replaced: {first_line(error)}")
                actor = self._spawn(replica.index)
                try:
                    await wait_for(actor.start.remote(), self._start_s, f"a new {self._role} actor to start")
                    if prepare is not None:
                        await prepare(actor)
                except BaseException as failure:
                    ray.kill(actor)
                    if not isinstance(failure, ACTOR_FAILURES):
                        raise
                    error = failure
                    continue
                replica.actor = actor
                return
            self.replicas.remove(replica)
            self._note(f"{self._role} actor {replica.index} is lost for good: {first_line(error)}")
            if not self.replicas:
                raise self.exhausted(first_line(error)) from error

    def exhausted(self, cause: str) -> VlaaRayError:
        return self._error(f"no {self._role} actor is left, and no more may be replaced", cause)

    def _error(self, message: str, cause: str) -> VlaaRayError:
        kind = RolloutFleetExhausted if self._role == "rollout" else RewardError
        fix = f"look at logs/{self._role}_*.log in the run folder; the last checkpoint can be resumed"
        return kind(message, restarts=self.restarts, last=cause, fix=fix)

    async def max_rss_bytes(self) -> float:
        """Of the largest replica; 0 while none answers."""
        answers = await asyncio.gather(
            *(wait_for(replica.actor.rss_bytes.remote(), GRACE_S, "memory") for replica in self.replicas),
            return_exceptions=True,
        )
        return max((float(one) for one in answers if isinstance(one, int)), default=0.0)


class RolloutPool:
    """Implements `RolloutRole`."""

    def __init__(self, config: GrpoConfig, spawn: Spawn, note: Note) -> None:
        rollout, self._deadlines = config.rollout, config.deadlines
        self._pool = Pool(
            *("rollout", spawn, rollout.num_actors, rollout.max_restarts, self._deadlines.start_s, note),
            at_once=rollout.max_num_seqs,  # the engine has a queue of its own, and batches better from it
        )
        self._learner: LearnerRanks | None = None
        self._weight_sync = WeightSync(config)

    async def start(self) -> None:
        await self._pool.start()

    async def sample(self, request: SampleRequest) -> SampledGroup:
        return await self._pool.call(
            lambda actor: actor.sample.remote(request),
            self._deadlines.rollout_s,
            f"completions of prompt {request.prompt.prompt_id}",
            self._bring_up_to_date,
        )

    async def load_weights(self, learner: LearnerRole) -> None:
        assert isinstance(learner, LearnerRanks)
        self._learner = learner
        async with learner.turn:  # no update in between: an engine gets all tensors of one version
            replicas = {replica.actor: replica for replica in self._pool.replicas}
            lost = await self._weight_sync.send(learner, list(replicas))
        replace = self._pool.replace
        await asyncio.gather(
            *(replace(replicas[actor], actor, error, self._bring_up_to_date) for actor, error in lost.items())
        )

    async def metrics(self) -> dict[str, float]:
        return {"memory/rollout_rss_bytes": await self._pool.max_rss_bytes(), "rollout/restarts": self._pool.restarts}

    async def _bring_up_to_date(self, actor: Any) -> None:
        assert self._learner is not None
        async with self._learner.turn:
            lost = await self._weight_sync.send(self._learner, [actor])
        if lost:
            raise lost[actor]


def groups_at_once(config: GrpoConfig) -> int:
    """Groups that a reward actor is given at once: enough to keep a judge busy, else one and the next."""
    section = config.rewards.open_ended
    if section.scorer == "judge" or section.service.url:
        return 1 + section.service.concurrency // config.rollout.group_size
    return 2


class RewardPool:
    """Implements `RewardRole`."""

    def __init__(self, config: GrpoConfig, spawn: Spawn, note: Note) -> None:
        rewards, self._deadlines = config.rewards, config.deadlines
        self._config = rewards
        self._pool = Pool(
            *("reward", spawn, rewards.num_actors, rewards.max_restarts, self._deadlines.start_s, note),
            at_once=groups_at_once(config),
        )
        self._offloads = rewards.open_ended.park
        self._busy_s: Counter[str] = Counter()

    async def start(self) -> None:
        await self._pool.start()

    async def score(self, prompt: Prompt, completions: Sequence[Completion], progress: float) -> list[RewardResult]:
        if not self._config.shows_images(prompt.verifier_type):  # most verifiers look at sizes alone
            prompt = replace(prompt, images=tuple(replace(image, data=None) for image in prompt.images))
        results, seconds = await self._pool.call(
            lambda actor: actor.score.remote(prompt, [completion.text for completion in completions], progress),
            self._deadlines.reward_s,
            f"rewards of prompt {prompt.prompt_id}",
        )
        self._busy_s[prompt.verifier_type] += seconds
        return results

    async def offload(self) -> None:
        if self._offloads:
            offloaded = [replica.actor.offload.remote() for replica in self._pool.replicas]
            await wait_for_all(offloaded, self._deadlines.reward_s, "reward models to leave the GPU")

    async def metrics(self) -> dict[str, float]:
        busy, self._busy_s = self._busy_s, Counter()
        size = max(len(self._pool.replicas), 1)
        return {
            "memory/reward_rss_bytes": await self._pool.max_rss_bytes(),
            "reward/restarts": self._pool.restarts,
            "time/reward_s": sum(busy.values()) / size,
            **{f"time/reward/{kind}_s": seconds / size for kind, seconds in busy.items()},
        }
