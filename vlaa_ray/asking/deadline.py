"""A limit on the time of work that can't be awaited, such as loading a model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vlaa_ray.errors import DeadlineExceeded

_AGAIN_S = 5.0  # a library may catch the first error


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """End the block with DeadlineExceeded after this time, in the main thread of a process.

    Raises:
        DeadlineExceeded: the block, which `what` names, has not ended in time.

    """

    def ring(number: int, frame: FrameType | None) -> None:
        raise DeadlineExceeded(f"{what} took longer than {seconds:g} s", fix="raise --deadline")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
