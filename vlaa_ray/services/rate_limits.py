"""How many requests may be on their way to a service, and how many may start in a minute."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_FIRST_SLOTS = 8
_BACK_OFF = 0.7
_SETTLE_S = 0.5
FIRST_WAIT_S, MAX_WAIT_S = 0.25, 8.0


def backoff_s(attempt: int) -> float:
    """How long to wait after so many failures: by chance, up to twice as long each time."""
    return random.uniform(0, min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 16)))


class Slots:
    """At most `most` at once, fewer while the service says that it is overloaded.

    Grows by one with every success until the first overload, then by one for as many successes as there are slots
    (additive increase, multiplicative decrease, as TCP does it).
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
        """How many may be on their way now."""
        return int(self._limit)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Waits for a free slot, and holds it."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self.limit)  # each holder has a deadline of its own
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify()

    def succeeded(self) -> None:
        """A request was served."""
        with self._changed:
            self._limit = min(self._most, self._limit + (1 if self._calm else 1 / self._limit))
            self._changed.notify()

    def overloaded(self) -> None:
        """The service refused a request for there being too many; several at a time count once."""
        with self._changed:
            self._calm = False
            if time.monotonic() - self._shrunk_at > _SETTLE_S:
                self._limit = max(1.0, self._limit * _BACK_OFF)
                self._shrunk_at = time.monotonic()


class Pace:
    """At most so much a minute, evenly; None for no limit."""

    def __init__(self, per_minute: int | None) -> None:
        self._seconds_each = 60 / per_minute if per_minute else 0.0
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event, amount: int = 1) -> None:
        """Returns when `amount` more may start, or as soon as all has been stopped."""
        if not self._seconds_each:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + amount * self._seconds_each
        stopped.wait(start - now)
