"""Waits for remote calls, each with a deadline and a name."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Sequence
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


async def in_daemon_thread(call: Callable[[], Result]) -> Result:
    """Return the result of a call that may block until Ray ends: a thread of asyncio would hold up the run's end."""
    loop, answer = asyncio.get_running_loop(), concurrent.futures.Future[Result]()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            answer.set_exception(error)

    answer.set_running_or_notify_cancel()  # who waits may go away; the answer may come later
    threading.Thread(target=work, name="a call to Ray", daemon=True).start()
    return await asyncio.wrap_future(answer, loop=loop)
