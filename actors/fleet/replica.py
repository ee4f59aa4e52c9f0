"""One actor of a pool, from the moment it is asked for until it is gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from operator import attrgetter
from typing import Any

from ray.exceptions import RayError

from actors.process.deadlines import answer_of
from vlaa_ray.errors import VlaaRayError


class Stage(Enum):
    """What a replica is doing."""

    ASKED = auto()
    """It waits for a node with room: its demand is what an autoscaler sees."""
    STARTING = auto()
    """It has its place, loads, and gets the current weights."""
    SERVING = auto()
    """It gets calls."""
    LEAVING = auto()
    """It gets no new calls; those that it has may end."""
    GONE = auto()
    """Its actor was killed, or was lost."""


@dataclass(eq=False)
class Replica:
    """An actor of a pool, its place and its calls."""

    index: int
    """The number in the name of its log file; it is free again when the replica is gone."""
    actor: Any
    slots: asyncio.Semaphore
    asked_s: float
    """The time at which the actor was asked for."""
    stage: Stage = Stage.ASKED
    node: str = ""
    """Ray's id of its node, once it has a place."""
    num_calls: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a leaving replica has no more calls."""
    task: asyncio.Task[None] | None = None
    """The task that brings it in or lets it leave."""
    watch: asyncio.Task[None] | None = None
    """The task that notices its loss while it serves."""


num_calls = attrgetter("num_calls")


async def end_of(actor: Any) -> BaseException | None:
    """Return the error with which the actor ends, as soon as it does; None if nobody can tell.

    Its method `stay` never returns, so that this call is there to fail, also while the actor has nothing to do.
    """
    try:
        await answer_of(actor.stay.remote())
    except (RayError, VlaaRayError) as error:
        return error
    return None
