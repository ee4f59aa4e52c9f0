"""The way of a new actor into its pool: it is asked for, gets its place, and starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from actors.fleet.cluster_state import REPORT_EVERY_S, free_line
from actors.fleet.replica import Replica, Stage
from actors.process.deadlines import answer_of, wait_for
from vlaa_ray.errors import PlacementError

Spawn = Callable[[int, frozenset[str]], Any]
"""A function from the number of a replica and the nodes to avoid to the handle of a new actor."""
Prepare = Callable[[Any, Callable[[], None]], Awaitable[None]]
"""A function that prepares a new actor, and then calls its second argument, which lets the actor serve at once."""
Note = Callable[[str], None]


@dataclass(frozen=True)
class JoinSettings:
    """The limits of the way into a pool."""

    role: str
    provision_s: float
    start_s: float


class Withdrawn(Exception):
    """An actor had no place for too long; it is asked for again, so that the cluster looks at it anew."""


class Joining:
    """The start of new actors. `turn` returns the block in which an actor starts."""

    def __init__(
        self, settings: JoinSettings, spawn: Spawn, note: Note, turn: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._settings, self._note, self._turn = settings, note, turn
        self.spawn = spawn

    async def place(self, replica: Replica, must_have_room: Callable[[], bool]) -> None:
        """Wait until the actor has a place; a line every 30 seconds says what is awaited.

        Raises:
            PlacementError: it has none after `provision_s` seconds, and the run can't begin without it.
            Withdrawn: it has none after `provision_s` seconds, but the run goes on without it.

        """
        role, provision_s = self._settings.role, self._settings.provision_s
        clock = asyncio.get_running_loop().time
        end = clock() + provision_s
        placed = asyncio.ensure_future(answer_of(replica.actor.node_id.remote()))
        try:
            while not placed.done():
                if clock() >= end:
                    raise self._no_room() if must_have_room() else Withdrawn
                await asyncio.wait({placed}, timeout=min(REPORT_EVERY_S, end - clock()))
                if not placed.done() and clock() < end:
                    self._note(f"waiting for a place for {role} actor {replica.index}: {await free_line()}")
            replica.node, replica.stage = placed.result(), Stage.STARTING
        finally:
            placed.cancel()

    async def start(self, replica: Replica) -> None:
        """Let the actor load what it needs; its deadline begins now."""
        async with self._turn():
            role, start_s = self._settings.role, self._settings.start_s
            await wait_for(replica.actor.start.remote(), start_s, f"a {role} actor to start")

    def _no_room(self) -> PlacementError:
        role, seconds = self._settings.role, self._settings.provision_s
        key = {"rollout": "rollout", "reward": "rewards"}[role]
        return PlacementError(
            f"the cluster had no room for a {role} actor within {seconds:g} s",
            fix=f"add nodes, end other jobs, or ask for less ({key}.num_actors); raise deadlines.provision_s",
        )
