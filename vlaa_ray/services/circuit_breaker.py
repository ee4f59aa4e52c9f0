"""A circuit breaker: while a service fails, only one request at a time tries it; after some time it is given up."""

from __future__ import annotations

import re
import threading
import time
import weakref

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import VlaaRayError

OPENS_AFTER = 5
"""The number of failures in a row that opens the circuit."""


def failing_services() -> dict[str, float]:
    """Return the seconds since each service that this process asks has failed; 0 for one that answers.

    A name such as "the judge" becomes one word, `judge`.
    """
    return {_word(circuit.service_name): circuit.failing_s() for circuit in list(_CIRCUITS)}


class Circuit:
    """The state of one service, for all requests to it.

    After OPENS_AFTER failures in a row the circuit is open: one request at a time tries the service, and the others
    wait. Once the service has failed for `give_up_s` seconds without a success, it is given up: all waiting and all
    later requests end with the same error.

    `service_name` is the service's name in the error, and `error` is the error's type.
    """

    def __init__(self, service_name: str, section: ServiceSection, error: type[VlaaRayError]) -> None:
        self.service_name, self._section, self._error = service_name, section, error
        self._changed = threading.Condition()
        self._failures = 0
        self._last_failure = ""
        self.ever_succeeded = False
        self._last_success = time.monotonic()
        self._failing_since: float | None = None
        self._probing = False
        _CIRCUITS.add(self)

    def wait(self) -> None:
        """Wait until a request may be made. Raises the circuit's error type if the service was given up."""
        with self._changed:
            while self._failures >= OPENS_AFTER and self._probing and self._patience_s() > 0:
                self._changed.wait(self._patience_s())
            if self._patience_s() <= 0:
                raise self._error(
                    f"{self.service_name} doesn't answer",
                    url=self._section.url,
                    last=self._last_failure,
                    for_s=self._section.give_up_s,
                    fix="start the service again, then repeat the command: it continues where it stopped",
                )
            self._probing = self._failures >= OPENS_AFTER

    def succeeded(self) -> None:
        """Record that a request was served. This closes the circuit."""
        with self._changed:
            self._failures, self._failing_since, self._probing = 0, None, False
            self._last_success = time.monotonic()
            self.ever_succeeded = True
            self._changed.notify_all()

    def forgive(self) -> None:
        """Close the circuit after failed requests, because the service answers others and so works."""
        with self._changed:
            self._failures, self._failing_since, self._probing = 0, None, False
            self._changed.notify_all()

    def failed(self, reason: str) -> None:
        """Record that a request got no answer, and why."""
        with self._changed:
            self._failures += 1
            self._last_failure = reason
            self._probing = False
            self._failing_since = self._failing_since or time.monotonic()
            self._changed.notify_all()

    def succeeded_since(self, moment: float) -> bool:
        """Return whether a request was served after this moment (a value of `time.monotonic`)."""
        with self._changed:
            return self._last_success > moment

    def patience_s(self) -> float:
        """Return the seconds until the service is given up, at least 0."""
        with self._changed:
            return max(0.0, self._patience_s())

    def failing_s(self) -> float:
        """Return the seconds since the first failure after the last success; 0 while the service answers."""
        since = self._failing_since
        return time.monotonic() - since if since else 0.0

    def _patience_s(self) -> float:
        return self._section.give_up_s - self.failing_s()


_CIRCUITS: weakref.WeakSet[Circuit] = weakref.WeakSet()


def _word(service_name: str) -> str:
    return re.sub(r"\W+", "_", service_name.removeprefix("the ")).strip("_")
