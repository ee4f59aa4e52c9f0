"""A pool of interchangeable actors of one role; lost actors are replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError

from actors.process.causes import first_line
from actors.process.deadlines import GRACE_S, died, wait_for, wait_for_all
from vlaa_ray.errors import RewardError, RolloutFleetExhausted, VlaaRayError
from vlaa_ray.planning.failures import Action, LossBudget, Losses, after_replica_failure

Spawn = Callable[[int], Any]
"""A function from the number of a replica to the handle of a new actor for it."""
Prepare = Callable[[Any], Awaitable[None]]
"""A function that prepares a new actor for its first call."""
Note = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """The size of a pool and its limits."""

    role: str
    """"rollout" or "reward"; it appears in the names of log files and in errors."""
    size: int
    budget: LossBudget
    """The losses that are made good in a time."""
    start_s: float
    """The seconds that an actor may take to start."""
    max_calls_in_flight: int
    """The number of calls that one actor gets at the same time; a call's deadline begins when the actor gets it."""


@dataclass(eq=False)
class Replica:
    """One place in a pool, and the actor that currently fills it."""

    index: int
    actor: Any
    slots: asyncio.Semaphore
    num_calls: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_num_calls = attrgetter("num_calls")


class Pool:
    """Numbered replicas; a call goes to the least busy one, and at most `max_restarts` lost ones are replaced."""

    def __init__(self, settings: PoolSettings, spawn: Spawn, note: Note) -> None:
        self._settings, self._spawn, self._note = settings, spawn, note
        self.prepare: Prepare | None = None
        """A function that prepares a new actor, for instance by sending it the learner's weights."""
        self.turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """A function that returns a block, such as `Turns.sampling`: calls are made, and new actors start, in it."""
        self._losses = Losses()
        self.restarts = 0
        """The number of actors replaced so far."""
        self.replicas = [
            Replica(index, spawn(index), asyncio.Semaphore(settings.max_calls_in_flight))
            for index in range(settings.size)
        ]

    async def start(self) -> None:
        """Wait until all actors are ready.

        Raises:
            RolloutFleetExhausted, RewardError: an actor died.
            DeadlineExceeded: an actor is not ready after `start_s` seconds.

        """
        role, starts = self._settings.role, [replica.actor.start.remote() for replica in self.replicas]
        try:
            await wait_for_all(starts, self._settings.start_s, f"{role} actors to start")
        except RayActorError as error:
            raise self._error(f"a {role} actor died while it started", first_line(error)) from error

    async def call(self, invoke: Callable[[Any], Awaitable[Result]], timeout_s: float, what: str) -> Result:
        """Return the result of the call from any replica.

        If a replica dies or hangs, it is replaced, and the call is made again on any replica.

        Raises:
            RolloutFleetExhausted, RewardError: no actor is left, and no more may be replaced.

        """
        while True:
            replica = self._least_busy()
            if replica is None:
                raise self._exhausted("all actors were lost before")
            replica.num_calls += 1
            called = None
            try:
                async with replica.slots:
                    try:
                        async with self.turn():
                            called = replica.actor
                            return await wait_for(invoke(called), timeout_s + GRACE_S, what)
                    except Exception as error:
                        if called is None or self._action(error) is Action.RAISE:
                            raise
                        await self.replace(replica, called, error)  # not in the turn: a new actor needs another one
            finally:
                replica.num_calls -= 1

    async def replace(self, replica: Replica, lost: Any, error: BaseException) -> None:
        """Put a new, ready actor in place of `lost`; the first caller does it, and the others wait.

        If no restart is left, the pool goes on without the replica.

        Raises:
            RolloutFleetExhausted, RewardError: it was the last replica, and no restart is left.

        """
        async with replica.lock:
            if replica.actor is not lost or replica not in self.replicas:
                return
            ray.kill(lost)
            self._losses = self._losses.with_loss(time.monotonic(), "")
            while self._action(error) is Action.REPLACE:
                self.restarts += 1
                self._note(f"{self._settings.role} actor {replica.index} is lost and replaced: {first_line(error)}")
                try:
                    replica.actor = await self._started(replica.index)
                    return
                except Exception as failure:
                    if self._action(failure) is Action.RAISE:
                        raise
                    error = failure
                    self._losses = self._losses.with_loss(time.monotonic(), "")
            action = self._action(error)
            self.replicas.remove(replica)
            self._note(f"{self._settings.role} actor {replica.index} is lost for good: {first_line(error)}")
            if action is Action.STOP:
                raise self._exhausted(first_line(error)) from error

    async def max_rss_bytes(self) -> float:
        """Return the resident memory of the largest replica, in bytes; 0 if no replica answers."""
        answers = await asyncio.gather(
            *(wait_for(replica.actor.rss_bytes.remote(), GRACE_S, "memory") for replica in self.replicas),
            return_exceptions=True,
        )
        return max((float(answer) for answer in answers if isinstance(answer, int)), default=0.0)

    def _least_busy(self) -> Replica | None:
        """Return the replica with the fewest calls, if possible one that is not being replaced; None if none is left.

        This runs for every call, so it looks at locks only where it must.
        """
        replica = min(self.replicas, key=_num_calls, default=None)
        if replica is not None and replica.lock.locked():
            free = [other for other in self.replicas if not other.lock.locked()]
            return min(free, key=_num_calls, default=replica)
        return replica

    async def _started(self, index: int) -> Any:
        """Return a new actor that is ready; if it can't be made ready, it is killed and the error is raised."""
        actor = self._spawn(index)
        try:
            start_s, role = self._settings.start_s, self._settings.role
            async with self.turn():
                await wait_for(actor.start.remote(), start_s, f"a new {role} actor to start")
            if self.prepare is not None:
                await self.prepare(actor)
        except BaseException:
            ray.kill(actor)
            raise
        return actor

    def _action(self, error: BaseException) -> Action:
        return after_replica_failure(
            error,
            process_died=died(error),
            losses=self._losses,
            budget=self._settings.budget,
            now_s=time.monotonic(),
            num_others=len(self.replicas) - 1,
        )

    def _exhausted(self, cause: str) -> VlaaRayError:
        return self._error(f"no {self._settings.role} actor is left, and no more may be replaced", cause)

    def _error(self, message: str, cause: str) -> VlaaRayError:
        error = RolloutFleetExhausted if self._settings.role == "rollout" else RewardError
        fix = f"look at logs/{self._settings.role}_*.log in the run folder; the same command continues the run"
        return error(message, restarts=self.restarts, last=cause, fix=fix)
