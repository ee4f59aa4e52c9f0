"""The turns of roles that share devices (`placement: colocated`): who may work, and what has to move first.

    async with turns.sampling(): ...      # the engines have their memory; the learner is in RAM
    async with turns.updating(): ...      # the learner has the device; the engines sleep
    async with turns.publishing(): ...    # the learner, and room for the engines' weights
    async with turns.saving(): ...        # the learner, with weights that stay as they are

A block begins when no block of another turn runs and the devices are ready; until then it waits. The order of a step:

    sampling ─ engines sleep ─ learner loads ─ updating ─ engines' weights wake ─ publishing ─ learner offloads
             ─ engines' caches wake ─ sampling

`moves` decides what is moved and `after` what that leads to, without doing it; `Turns` does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from vlaa_ray.errors import DeadlineExceeded, LearnerError, WeightSyncError
from vlaa_ray.records import Group, OptimizerStep
from vlaa_ray.roles import LearnerRole, Metrics


class Work(Enum):
    """The work that the devices are for."""

    SAMPLE = "sample"
    UPDATE = "update the learner"
    PUBLISH = "publish the weights"
    SAVE = "save the learner"


class Engines(Enum):
    """The memory that the engines have on the devices."""

    AWAKE = auto()
    """All: weights, keys and values."""
    WEIGHTS = auto()
    """The weights alone."""
    KEPT = auto()
    """None; the weights are in RAM."""
    DROPPED = auto()
    """None; the weights are nowhere."""


class Move(Enum):
    """One change of what is on the devices."""

    SLEEP_KEEPING = auto()
    SLEEP_DROPPING = auto()
    WAKE_WEIGHTS = auto()
    WAKE_CACHE = auto()
    LOAD = auto()
    OFFLOAD = auto()


@dataclass(frozen=True)
class Devices:
    """What is on the devices. `current`: the engines' weights are complete, and those of the learner."""

    engines: Engines
    learner: bool
    current: bool


STARTED = Devices(Engines.DROPPED, learner=True, current=False)
"""The devices after the start: engines start asleep, and they need the learner's weights in any case."""


def may_take(devices: Devices, work: Work) -> bool:
    """Return True if the work is possible at all: without current weights nothing is sampled."""
    return devices.current or work is not Work.SAMPLE


def moves(devices: Devices, work: Work) -> list[Move]:
    """Return the moves that make the devices ready for the turn, in order."""
    if work is Work.SAMPLE:
        wake = {Engines.AWAKE: [], Engines.WEIGHTS: [Move.WAKE_CACHE]}
        offload = [Move.OFFLOAD] if devices.learner else []
        return offload + wake.get(devices.engines, [Move.WAKE_WEIGHTS, Move.WAKE_CACHE])
    found: list[Move] = []
    if work is Work.UPDATE and devices.engines in (Engines.AWAKE, Engines.WEIGHTS):
        found.append(Move.SLEEP_DROPPING)  # the new weights come anyway
    elif devices.engines is Engines.AWAKE:
        found.append(Move.SLEEP_KEEPING)
    if not devices.learner:
        found.append(Move.LOAD)
    if work is Work.PUBLISH and devices.engines is not Engines.WEIGHTS:
        found.append(Move.WAKE_WEIGHTS)
    return found


def after(devices: Devices, move: Move) -> Devices:
    """Return what is on the devices after a move.

    Raises:
        WeightSyncError: the devices can't hold both roles, or the engines would sample without current weights.

    """
    match move:
        case Move.SLEEP_KEEPING if devices.engines is Engines.AWAKE:
            return replace(devices, engines=Engines.KEPT)
        case Move.SLEEP_DROPPING:
            return Devices(Engines.DROPPED, devices.learner, current=False)
        case Move.WAKE_WEIGHTS if devices.engines in (Engines.KEPT, Engines.DROPPED):
            return replace(devices, engines=Engines.WEIGHTS)
        case Move.WAKE_CACHE if not devices.learner and devices.engines is Engines.WEIGHTS and devices.current:
            return replace(devices, engines=Engines.AWAKE)
        case Move.LOAD if devices.engines in (Engines.KEPT, Engines.DROPPED):
            return replace(devices, learner=True)
        case Move.OFFLOAD:
            return replace(devices, learner=False)
    raise WeightSyncError("this can't be moved now", got=move.name, devices=str(devices))


class SharedDevices(Protocol):
    """The engines and the learner, as they leave the devices and come back. Each call ends when it is done."""

    async def sleep(self, *, keep_weights: bool) -> None:
        """Free all memory of the engines; the weights go into RAM or are dropped."""

    async def wake_weights(self) -> None:
        """Give the engines memory for their weights; weights in RAM come back."""

    async def wake_cache(self) -> None:
        """Give the engines memory for keys and values, and let them sample."""

    async def load_learner(self) -> None:
        """Bring the learner's memory back to the devices."""

    async def offload_learner(self) -> None:
        """Move the learner's memory into RAM."""


@dataclass(eq=False)
class _Waiting:
    work: Work
    admitted: asyncio.Future[None]


class OwnDevices:
    """The turns of roles with devices of their own: every turn may be taken at any time."""

    def sampling(self) -> AbstractAsyncContextManager[None]:
        """Return a block that does nothing."""
        return nullcontext()

    def saving(self) -> AbstractAsyncContextManager[None]:
        """Return a block that does nothing."""
        return nullcontext()

    def updating(self) -> AbstractAsyncContextManager[None]:
        """Return a block that does nothing."""
        return nullcontext()

    def publishing(self, *, to_all: bool = True) -> AbstractAsyncContextManager[None]:
        """Return a block that does nothing."""
        return nullcontext()


class Turns:
    """The turns of roles that share devices.

    Blocks of the same turn run at the same time. They begin in the order in which they were asked for; only sampling
    is passed over while the engines have no current weights.
    """

    def __init__(self, shared: SharedDevices, *, deadline_s: float, devices: Devices = STARTED) -> None:
        """`deadline_s` is the longest that a block may wait for its turn."""
        self._shared, self._deadline_s = shared, deadline_s
        self._work: Work | None = None
        self._num_users = 0
        self._waiting: list[_Waiting] = []
        self._change: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.devices = devices
        self.moving_s = 0.0
        """The seconds that all moves took so far."""

    def sampling(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which the engines sample."""
        return self._block(Work.SAMPLE)

    def saving(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which the learner is on the device and keeps its weights."""
        return self._block(Work.SAVE)

    @asynccontextmanager
    async def updating(self) -> AsyncIterator[None]:
        """Run a block that changes the learner's weights: those of the engines are no longer current."""
        async with self._block(Work.UPDATE):
            self.devices = replace(self.devices, current=False)
            yield

    @asynccontextmanager
    async def publishing(self, *, to_all: bool = True) -> AsyncIterator[None]:
        """Run a block that loads the learner's weights into the engines; without `to_all`, into a new engine alone."""
        async with self._block(Work.PUBLISH):
            yield
            if to_all:  # not after an error: then some engines may have old weights
                self.devices = replace(self.devices, current=True)

    @asynccontextmanager
    async def _block(self, work: Work) -> AsyncIterator[None]:
        await self._admission(work)
        try:
            yield
        finally:
            self._num_users -= 1
            self._serve()

    async def _admission(self, work: Work) -> None:
        """Wait for the turn; the caller is one of its users afterwards, or an error is raised."""
        if self._failure is not None:
            raise self._failure
        waiting = _Waiting(work, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._serve()
        admitted = False
        try:
            async with asyncio.timeout(self._deadline_s):
                await waiting.admitted
            admitted = True
        except TimeoutError as error:
            message = f"the shared devices were not free to {work.value} within {self._deadline_s:g} s"
            raise DeadlineExceeded(message, devices=str(self.devices)) from error
        finally:
            if not admitted:
                self._withdraw(waiting)

    def _withdraw(self, waiting: _Waiting) -> None:
        """Take back a wait that was cancelled, perhaps just after it was admitted."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        elif waiting.admitted.done() and not waiting.admitted.cancelled() and not waiting.admitted.exception():
            self._num_users -= 1
        self._serve()

    def _serve(self) -> None:
        """Admit those who wait for the current turn, or begin the change to the next one."""
        while self._change is None:
            first = next((waiting for waiting in self._waiting if may_take(self.devices, waiting.work)), None)
            if first is None:
                return
            if first.work is not self._work:
                if not self._num_users:
                    # a task of its own: a wait that is cancelled must not leave devices between two turns
                    self._change = asyncio.ensure_future(self._make_ready(first.work))
                    self._change.add_done_callback(self._changed)
                return
            self._waiting.remove(first)
            if not first.admitted.done():
                self._num_users += 1
                first.admitted.set_result(None)

    async def _make_ready(self, work: Work) -> None:
        start = time.monotonic()
        for move in moves(self.devices, work):
            becoming = after(self.devices, move)  # first: a move that is not possible is not begun
            await self._do(move)
            self.devices = becoming
        self._work = work
        self.moving_s += time.monotonic() - start

    def _changed(self, change: asyncio.Task[None]) -> None:
        self._change = None
        if change.cancelled():
            self._failure = LearnerError("the change of turns on the shared devices was cancelled")
        else:
            self._failure = change.exception()
        if self._failure is not None:  # what is on the devices is unknown: nobody works any more
            for waiting in self._waiting:
                if not waiting.admitted.done():
                    waiting.admitted.set_exception(self._failure)
            self._waiting.clear()
        self._serve()

    async def _do(self, move: Move) -> None:
        match move:
            case Move.SLEEP_KEEPING | Move.SLEEP_DROPPING:
                await self._shared.sleep(keep_weights=move is Move.SLEEP_KEEPING)
            case Move.WAKE_WEIGHTS:
                await self._shared.wake_weights()
            case Move.WAKE_CACHE:
                await self._shared.wake_cache()
            case Move.LOAD:
                await self._shared.load_learner()
            case Move.OFFLOAD:
                await self._shared.offload_learner()


class LearnerInTurn:
    """A learner that takes its turn for everything that it does, as a `LearnerRole`."""

    def __init__(self, learner: LearnerRole, turns: Turns) -> None:
        self._learner, self._turns = learner, turns
        self._reported_s = 0.0

    @property
    def weight_version(self) -> int:
        """See `LearnerRole`."""
        return self._learner.weight_version

    async def accumulate(self, shares: list[list[Group]]) -> None:
        """See `LearnerRole`; a step is not learned in parts here, since the engines would have to sleep for each."""
        async with self._turns.updating():
            await self._learner.accumulate(shares)

    async def update(self, shares: list[list[OptimizerStep]]) -> Metrics:
        """See `LearnerRole`."""
        async with self._turns.updating():
            return await self._learner.update(shares)

    async def save(self, folder: Path) -> None:
        """See `LearnerRole`."""
        async with self._turns.saving():
            await self._learner.save(folder)

    async def written(self) -> None:
        """See `LearnerRole`; no turn is needed, as files are written from RAM."""
        await self._learner.written()

    async def load(self, folder: Path) -> None:
        """See `LearnerRole`."""
        async with self._turns.updating():
            await self._learner.load(folder)

    async def metrics(self) -> Metrics:
        """See `LearnerRole`; with them the seconds that moves between turns took since the last call."""
        moving_s, self._reported_s = self._turns.moving_s - self._reported_s, self._turns.moving_s
        return await self._learner.metrics() | {"time/turns_s": moving_s}
