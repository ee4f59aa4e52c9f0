"""SIGINT and SIGTERM as typed errors in the main thread."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from vlaa_ray.errors import RunInterrupted


@contextlib.contextmanager
def signals_as_errors(fix: str) -> Iterator[None]:
    """Let both signals raise RunInterrupted in the main thread until the block ends; `fix` says how to continue."""

    def stop(number: int, frame: Any) -> None:
        raise RunInterrupted(f"stopped by {signal.Signals(number).name}", fix=fix, signal=number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
