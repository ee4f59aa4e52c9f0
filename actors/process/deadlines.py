"""Waits for remote calls, each with a deadline and a name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from actors.process.causes import typed_cause
from vlaa_ray.errors import DeadlineExceeded

Result = TypeVar("Result")
GRACE_S = 15.0
"""The seconds that a remote call may take beyond its own deadline."""


async def wait_for(awaited: Awaitable[Result], timeout_s: float, what: str) -> Result:
    """Wait for a remote call and return its result.

    Raises:
        DeadlineExceeded: there is no result after `timeout_s` seconds; the message names `what`.
        VlaaRayError: the call failed with it.

    """
    try:
        async with asyncio.timeout(timeout_s):  # `asyncio.wait_for` of Python 3.11 would make a task for each call
            return await answer_of(awaited)
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {timeout_s:g} s: {what}",
            fix="look at logs/ in the run folder; if it is only slow, raise the deadline",
        ) from None


async def wait_for_all(awaited: Sequence[Awaitable[Any]], timeout_s: float, what: str) -> list[Any]:
    """Return the results of all calls; if calls fail, the first error is raised. Deadline and errors as `wait_for`."""
    return await wait_for(asyncio.gather(*(answer_of(call) for call in awaited)), timeout_s, what)


def died(error: BaseException) -> bool:
    """Return True if the error says that the actor's process died or that one of its objects is lost."""
    return isinstance(error, RayActorError | ObjectLostError)


async def answer_of(awaited: Awaitable[Result]) -> Result:
    """Return the result of a remote call; an error of ours that it raised is raised as it is."""
    try:
        return await awaited  # an ObjectRef is awaitable, but not a coroutine
    except RayTaskError as error:  # its cause is for people, the remote traceback only for the log
        if cause := typed_cause(error):
            raise cause from error
        raise
