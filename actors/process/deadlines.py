"""Waits for Ray with a deadline and a name for what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from ray.exceptions import RayTaskError

from vlaa_ray.errors import DeadlineExceeded, VlaaRayError

Result = TypeVar("Result")


async def wait_for(awaited: Awaitable[Result], timeout_s: float, what: str) -> Result:
    """The result of a remote call; DeadlineExceeded says what didn't come."""
    try:
        return await asyncio.wait_for(_result(awaited), timeout_s)
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {timeout_s:g} s: {what}",
            fix="look at logs/ in the run folder; raise the deadline if it is only slow",
        ) from None


async def wait_for_all(awaited: Sequence[Awaitable[Any]], timeout_s: float, what: str) -> list[Any]:
    """The results of all; as soon as one fails, its error."""
    return await wait_for(asyncio.gather(*(_result(one) for one in awaited)), timeout_s, what)


async def _result(awaited: Awaitable[Result]) -> Result:
    try:
        return await awaited  # an ObjectRef is awaitable, but not a coroutine
    except RayTaskError as error:  # the remote traceback goes to the log, its cause to people
        if isinstance(error.cause, VlaaRayError):
            raise error.cause from error
        raise


def first_line(error: BaseException) -> str:
    """What an error says, in a line: the cause's last one if it is a remote traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]
