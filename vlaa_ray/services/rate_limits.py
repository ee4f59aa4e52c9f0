"""Limits on requests to a service: how many are in flight at the same time, and how many start in a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_FIRST_SLOTS = 8
_BACK_OFF = 0.7
_SETTLE_S = 0.5


class Slots:
    """A limit on the requests in flight. It adapts to the service, and is never above `most`.

    It starts at 8, or at `most` if that is less. Until the first overload each success raises it by 1; afterwards as
    many successes as there are slots raise it by 1. An overload multiplies it by 0.7. (TCP controls congestion in the
    same way: additive increase, multiplicative decrease.)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(most, _FIRST_SLOTS))
        self._taken = 0
        self._calm = True  # no overload so far
        self._shrunk_at = 0.0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """The number of requests that may be in flight now."""
        return int(self._limit)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for a free slot, and hold it for the `with` block."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self.limit)  # no deadline here: every holder has its own
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify()

    def succeeded(self) -> None:
        """Record that a request was served."""
        with self._changed:
            self._limit = min(self._most, self._limit + (1 if self._calm else 1 / self._limit))
            self._changed.notify()

    def overloaded(self) -> None:
        """Record that the service was overloaded. Several records within half a second count as one."""
        with self._changed:
            self._calm = False
            if time.monotonic() - self._shrunk_at > _SETTLE_S:
                self._limit = max(1.0, self._limit * _BACK_OFF)
                self._shrunk_at = time.monotonic()


class Pace:
    """A limit on the amount per minute, spread evenly: requests, or tokens. None means no limit."""

    def __init__(self, per_minute: int | None) -> None:
        self._seconds_each = 60 / per_minute if per_minute else 0.0
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event, amount: int = 1) -> None:
        """Wait until `amount` more may start, or until `stopped` is set."""
        if not self._seconds_each:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + amount * self._seconds_each
        stopped.wait(start - now)
