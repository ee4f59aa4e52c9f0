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
"""Seconds that a remote call may take longer than its own deadline."""


async def wait_for(awaited: Awaitable[Result], timeout_s: float, what: str) -> Result:
    """The result of a remote call; DeadlineExceeded names `what` if it does not come within `timeout_s` seconds."""
    try:
        return await asyncio.wait_for(_result(awaited), timeout_s)
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {timeout_s:g} s: {what}",
            fix="look at logs/ in the run folder; raise the deadline if it is only slow",
        ) from None


async def wait_for_all(awaited: Sequence[Awaitable[Any]], timeout_s: float, what: str) -> list[Any]:
    """The results of all calls; the error of the first call that fails."""
    return await wait_for(asyncio.gather(*(_result(one) for one in awaited)), timeout_s, what)


def died(error: BaseException) -> bool:
    """True if Ray found the actor's process dead, or an object of it lost."""
    return isinstance(error, RayActorError | ObjectLostError)


async def _result(awaited: Awaitable[Result]) -> Result:
    try:
        return await awaited  # an ObjectRef is awaitable, but not a coroutine
    except RayTaskError as error:  # the remote traceback goes to the log, its cause to people
        if cause := typed_cause(error):
            raise cause from error
        raise
