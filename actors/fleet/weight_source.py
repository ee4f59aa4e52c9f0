"""What a transport of weights calls: their source, and a set of engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from actors.process.deadlines import died, wait_for
from vlaa_ray.planning.failures import is_lost

Failures = dict[Any, BaseException]
"""The actors that were lost during an update, each with its cause."""


class WeightSource(Protocol):
    """The owner of the weights that are sent, which gives them in buckets."""

    node_id: str
    """Ray's id of the node in whose shared memory the buckets are."""
    turn: asyncio.Lock
    """The lock of a caller that makes several calls in a row, or that changes the weights."""

    @property
    def weight_version(self) -> int:
        """The number of optimizer steps done."""

    @property
    def can_pause_series(self) -> bool:
        """True if other calls may come between two calls of `next_bucket`."""

    async def manifest(self) -> list[Any]:
        """Return the names, dtypes and shapes of all tensors that `next_bucket` gives, as plain lists."""

    async def next_bucket(self) -> Any:
        """Return the next bucket of weights; None after the last. The caller must hold `turn`."""

    async def recover(self) -> None:
        """Bring the source back after it was lost (`LearnerLost`); the caller must not hold `turn`.

        Raises:
            LearnerError: it can't be brought back.

        """

    async def drop_series(self) -> None:
        """End a series of buckets before its last one."""

    def packed_bucket(self) -> Any:
        """Return a reference to the current bucket's bytes in Ray's object store."""


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
