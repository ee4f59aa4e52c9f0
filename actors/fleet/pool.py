"""A pool of interchangeable actors of one role, which come and go while the run goes on.

    pool.resize(3)                           # two more are asked for; they join when they are ready
    await pool.call(lambda actor: …, …)      # the least busy one answers; if it is lost, another one is asked
    pool.drain("node id", leave_s=25)        # the actors of that node leave, and others take their places

What becomes of a lost actor is decided by `planning.failures`; how many actors there should be, by its caller.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, TypeVar

import ray

from actors.fleet.joining import Joining, JoinSettings, Note, Prepare, Spawn, Withdrawn
from actors.fleet.pool_settings import PoolSettings
from actors.fleet.replica import Replica, Stage, end_of, num_calls
from actors.process.causes import first_line
from actors.process.deadlines import GRACE_S, died, wait_for
from vlaa_ray.errors import DeadlineExceeded, RewardError, RolloutFleetExhausted, VlaaRayError
from vlaa_ray.planning.failures import Action, Losses, after_replica_failure, is_lost, loss_cause

Result = TypeVar("Result")
_LEAVE_MARGIN_S = 2.0
"""The seconds before the end of its node at which an actor that leaves is killed."""


class Pool:
    """The replicas of one role; a call goes to the least busy one, and lost ones are replaced as the budget allows."""

    def __init__(self, settings: PoolSettings, spawn: Spawn, note: Note) -> None:
        self._settings, self._note = settings, note
        self._joining = Joining(
            JoinSettings(settings.role, settings.provision_s, settings.start_s), spawn, note, lambda: self.turn()
        )
        self.prepare: Prepare | None = None
        """A function that prepares a new actor, for instance by sending it the learner's weights, and admits it."""
        self.turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """A function that returns a block, such as `Turns.sampling`: calls are made, and new actors start, in it."""
        self.is_fit: Callable[[str], Awaitable[bool]] | None = None
        """A function that says whether actors of the pool can work on a node; on the others none is started."""
        self.lost: Callable[[str], None] = lambda node: None
        """A function that is told the node of each actor that was lost."""
        self.causes: Counter[str] = Counter()
        """The number of actors lost so far, by cause; see `planning.failures.loss_cause`."""
        self.restarts = 0
        """The number of actors replaced so far."""
        self.replicas: list[Replica] = []
        """The replicas that serve."""
        self.target = settings.first
        """The number of actors that the pool should have."""
        self.calls_s = 0.0
        """The seconds of all calls so far, their waits for a free actor included."""
        self.num_calls = 0
        """The number of calls that wait for an actor or are being answered."""
        self._coming: list[Replica] = []
        self._leaving: list[Replica] = []
        self._draining: set[str] = set()
        self._unfit: set[str] = set()
        self._losses = Losses()
        self._has_served = self._has_started = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._retry: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Ask for all actors, and wait until the smallest number of them is ready.

        Raises:
            PlacementError: the cluster has no room for an actor.
            RolloutFleetExhausted, RewardError: an actor died.
            DeadlineExceeded: an actor is not ready after `start_s` seconds.

        """
        settings = self._settings
        self._fill()
        patience_s = settings.provision_s + settings.start_s + GRACE_S
        await self._until(
            lambda: len(self.replicas) >= settings.smallest, patience_s, f"start of {settings.role} actors"
        )
        self._has_started = True

    async def call(self, invoke: Callable[[Any], Awaitable[Result]], timeout_s: float, what: str) -> Result:
        """Return the result of the call from any replica.

        If a replica dies, hangs or leaves, the call is made again on another one.

        Raises:
            RolloutFleetExhausted, RewardError: there is no actor, and none may be started or none came in time.

        """
        clock = asyncio.get_running_loop().time
        start = clock()
        self.num_calls += 1
        try:
            while True:
                replica = min(self.replicas, key=num_calls, default=None) or await self._any_replica()
                replica.num_calls += 1
                called = False
                try:
                    async with replica.slots, self.turn():
                        if replica.stage is Stage.SERVING:
                            called = True
                            return await wait_for(invoke(replica.actor), timeout_s + GRACE_S, what)
                except Exception as error:
                    if not (called and self._is_over(replica, error)):
                        raise
                finally:
                    replica.num_calls -= 1
                    if not replica.num_calls:
                        replica.idle.set()
        finally:
            self.calls_s += clock() - start
            self.num_calls -= 1

    def lose(self, actor: Any, error: BaseException, *, is_fault: bool = True) -> None:
        """Go on without an actor that was lost in a call of somebody else's; it counts only if it is the actor's fault.

        Raises:
            RolloutFleetExhausted, RewardError: it was the last one, and none may be started.

        """
        for replica in [*self.replicas, *self._leaving]:
            if replica.actor is actor:
                self._lose(replica, error, is_fault=is_fault)

    def resize(self, size: int) -> None:
        """Ask for more actors, or let some leave: first those that are not ready, then those with the fewest calls."""
        self.target = size
        for replica in sorted(self._coming, key=lambda replica: replica.stage.value):
            if self._num_here() > size:
                self._drop(replica)
        while self._num_here() > size:
            self._leave(min(self.replicas, key=num_calls), self._settings.call_s + GRACE_S)
        self._fill()

    def drain(self, node: str, leave_s: float) -> None:
        """Let all actors of the node leave within `leave_s` seconds, and ask for others elsewhere."""
        self._draining.add(node)
        for replica in [replica for replica in self._coming if replica.node == node]:
            self._drop(replica)
        here = [replica for replica in [*self.replicas, *self._leaving] if replica.node == node]
        for replica in here:
            self._leave(replica, max(0.0, leave_s - _LEAVE_MARGIN_S))
        if here:
            self._note(f"node {node[:8]} is leaving: its {len(here)} {self._settings.role} actors leave with it")
        self._fill()

    async def close(self) -> None:
        """Start nothing more, and end what is being started; calls go on."""
        self.target = 0  # a call may still lose its actor, when Ray ends
        if self._retry is not None:
            self._retry.cancel()
        tasks = [task for replica in self.members() for task in (replica.task, replica.watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def members(self) -> list[Replica]:
        """Return all actors, those that come and those that leave included."""
        return [*self.replicas, *self._coming, *self._leaving]

    async def max_rss_bytes(self) -> float:
        """Return the resident memory of the largest replica, in bytes; 0 if no replica answers."""
        answers = await asyncio.gather(
            *(wait_for(replica.actor.rss_bytes.remote(), GRACE_S, "memory") for replica in self.replicas),
            return_exceptions=True,
        )
        return max((float(answer) for answer in answers if isinstance(answer, int)), default=0.0)

    def _num_here(self) -> int:
        return len(self.replicas) + len(self._coming)

    def _fill(self) -> None:
        """Ask for as many actors as are missing and the budget allows."""
        now = asyncio.get_running_loop().time()
        budget = self._settings.budget
        while self._num_here() < self.target and self._failure is None:
            if not self._losses.has_room(budget, now):
                self._retry_later(self._losses.room_in_s(budget, now))
                return
            used = {replica.index for replica in self.members()}
            index = next(index for index in range(len(used) + 1) if index not in used)
            avoided = {*self._draining, *self._unfit, *self._losses.avoided(budget, now)}
            actor = self._joining.spawn(index, frozenset(avoided))
            replica = Replica(index, actor, asyncio.Semaphore(self._settings.max_calls_in_flight), now)
            self._coming.append(replica)
            replica.task = asyncio.create_task(self._join(replica))

    def _retry_later(self, seconds: float) -> None:
        if self._retry is None or self._retry.cancelled():

            def retry() -> None:
                self._retry = None
                self._fill()

            self._retry = asyncio.get_running_loop().call_later(seconds, retry)

    async def _join(self, replica: Replica) -> None:
        try:
            await self._joining.place(replica, self._must_have_room)
            if self.is_fit is not None and not await self.is_fit(replica.node):
                self._unfit.add(replica.node)
            if replica.node in self._draining | self._unfit:
                self._drop(replica)
                return self._fill()
            await self._joining.start(replica)
            if self.prepare is None:
                self._admit(replica)
            else:
                await self.prepare(replica.actor, lambda: self._admit(replica))
        except Exception as error:  # noqa: BLE001 - it decides about the pool, and is raised where somebody waits
            self._failed_start(replica, error)

    def _must_have_room(self) -> bool:
        """Return True if the run can't begin without another actor."""
        placed = len(self.replicas) + sum(replica.stage is Stage.STARTING for replica in self._coming)
        return not self._has_started and placed < self._settings.smallest

    def _admit(self, replica: Replica) -> None:
        """Let a replica serve from now on."""
        if replica not in self._coming:
            return  # it was taken away meanwhile
        self._coming.remove(replica)
        self.replicas.append(replica)
        replica.stage = Stage.SERVING
        self._has_served = True
        self._losses = self._losses.with_start(replica.node)
        replica.watch = asyncio.create_task(self._watch(replica))
        self._notify()

    async def _watch(self, replica: Replica) -> None:
        """Notice the loss of a replica that has no call."""
        error = await end_of(replica.actor)
        if error is not None:
            with suppress(VlaaRayError):  # it is raised where somebody waits for a replica
                self._lose(replica, error)

    def _failed_start(self, replica: Replica, error: Exception) -> None:
        """Decide what an actor means that did not start or did not get its weights."""
        if replica not in self._coming:
            return  # it was taken away meanwhile
        self._drop(replica)
        if isinstance(error, Withdrawn):
            return self._fill()
        if not is_lost(error, process_died=died(error)):
            return self._fail(error)
        role, now = self._settings.role, asyncio.get_running_loop().time()
        if not self._is_announced(replica, error):
            self._losses = (
                self._losses.with_loss(now, replica.node, replica.asked_s).with_failed_start(now, replica.node)
                if replica.node
                else self._losses.with_unplaced_loss(now)
            )
            if not self._has_served:  # what no actor can do now, none can do in the next attempt
                message = f"a {role} actor died while it started"
                return self._fail(self._error(message, first_line(error)) if died(error) else error)
            if replica.node in self._losses.avoided(self._settings.budget, now):
                self._note(f"node {replica.node[:8]} is avoided: {role} actors fail to start there")
        self._replace(replica, error)

    def _is_over(self, replica: Replica, error: Exception) -> bool:
        """Return True if the call that failed must be made again, since its replica was lost or has left."""
        if not is_lost(error, process_died=died(error)):
            return False
        self._lose(replica, error)
        return True

    def _lose(self, replica: Replica, error: BaseException, *, is_fault: bool = True) -> None:
        if replica.stage is Stage.GONE:
            return
        was_leaving = replica.stage is Stage.LEAVING
        self._drop(replica)
        if was_leaving:
            return
        if is_fault and not self._is_announced(replica, error):
            now = asyncio.get_running_loop().time()
            self._losses = self._losses.with_loss(now, replica.node, replica.asked_s)
        self._replace(replica, error)
        if self._failure is not None:
            raise self._failure from error

    def _replace(self, replica: Replica, error: BaseException) -> None:
        """Do what `planning.failures` says about a replica that is gone."""
        is_announced = self._is_announced(replica, error)
        self.causes[loss_cause(error, process_died=died(error), is_announced=is_announced)] += 1
        self.lost(replica.node)
        action = after_replica_failure(
            error,
            process_died=True,  # whatever the error: its actor is gone
            losses=self._losses,
            budget=self._settings.budget,
            now_s=asyncio.get_running_loop().time(),
            num_others=self._num_here(),
        )
        role = self._settings.role
        if action is Action.REPLACE:
            self.restarts += 1
            self._note(f"{role} actor {replica.index} is lost and replaced: {first_line(error)}")
        elif action is Action.POSTPONE:
            self._note(f"{role} actor {replica.index} is lost, and not replaced for now: {first_line(error)}")
        else:
            message = f"no {role} actor is left, and no more may be replaced for now"
            self._fail(self._error(message, first_line(error)))
        self._fill()

    def _is_announced(self, replica: Replica, error: BaseException) -> bool:
        """Return True if the actor was lost with a node whose end was announced."""
        return replica.node in self._draining or bool(getattr(error, "preempted", False))

    def _leave(self, replica: Replica, leave_s: float) -> None:
        """Give the replica no more calls; it is killed after its last call, or after `leave_s` seconds."""
        if replica.stage is Stage.SERVING:
            self.replicas.remove(replica)
            self._leaving.append(replica)
            replica.stage = Stage.LEAVING
        if replica.task is not None:
            replica.task.cancel()
        if not replica.num_calls:
            return self._drop(replica)
        replica.idle.clear()
        replica.task = asyncio.create_task(self._left(replica, leave_s))

    async def _left(self, replica: Replica, leave_s: float) -> None:
        try:
            async with asyncio.timeout(leave_s):
                await replica.idle.wait()
        except TimeoutError:
            count, index = replica.num_calls, replica.index
            self._note(f"{self._settings.role} actor {index} ends now: its {count} calls are made again elsewhere")
        self._drop(replica)

    def _drop(self, replica: Replica) -> None:
        """Kill the actor at once, so that its place is free; calls that it has fail."""
        for members in (self.replicas, self._coming, self._leaving):
            if replica in members:
                members.remove(replica)
        replica.stage = Stage.GONE
        for task in (replica.task, replica.watch):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        ray.kill(replica.actor)

    async def _any_replica(self) -> Replica:
        """Return a replica that serves; wait for one if need be."""
        give_up_s = self._settings.give_up_s
        try:
            await self._until(lambda: bool(self.replicas), give_up_s, "a replica")
        except DeadlineExceeded as error:
            message = f"there was no {self._settings.role} actor for {give_up_s:g} s"
            raise self._error(message, "no node was free") from error
        return min(self.replicas, key=num_calls)

    async def _until(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until the pool is as asked for; raise what has made it fail."""
        try:
            async with asyncio.timeout(timeout_s):
                while not reached():
                    if self._failure is not None:
                        raise self._failure
                    await self._changed.wait()
        except TimeoutError:
            raise DeadlineExceeded(
                f"no {what} within {timeout_s:g} s",
                fix="look at logs/ in the run folder; if it is only slow, raise the deadline",
            ) from None

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._notify()

    def _notify(self) -> None:
        """Wake all who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _error(self, message: str, cause: str) -> VlaaRayError:
        error = RolloutFleetExhausted if self._settings.role == "rollout" else RewardError
        fix = f"look at logs/{self._settings.role}_*.log in the run folder; the same command continues the run"
        return error(message, restarts=self.restarts, last=cause, fix=fix)
