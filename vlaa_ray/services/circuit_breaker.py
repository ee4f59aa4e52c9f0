"""A circuit breaker: while a service fails, one request at a time tries it, and after some time nobody does."""

from __future__ import annotations

import threading
import time

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import VlaaRayError

OPENS_AFTER = 5
"""Failures without a success in between."""


class Circuit:
    """Open after OPENS_AFTER failures: then one request at a time tries, the others wait.

    With no success for `give_up_s`, every request that waits, and every later one, ends with the same error.
    """

    def __init__(self, what: str, section: ServiceSection, error: type[VlaaRayError]) -> None:
        self._what, self._section, self._error = what, section, error
        self._changed = threading.Condition()
        self._failures = 0
        self._last_failure = ""
        self.ever_succeeded = False
        self._last_success = time.monotonic()
        self._failing_since: float | None = None
        self._probing = False

    def wait(self) -> None:
        """Returns when a request may be made; its error once the service has been given up."""
        with self._changed:
            while self._failures >= OPENS_AFTER and self._probing and self._patience_s() > 0:
                self._changed.wait(self._patience_s())
            if self._patience_s() <= 0:
                raise self._error(
                    f"{self._what} doesn't answer",
                    url=self._section.url,
                    last=self._last_failure,
                    for_s=self._section.give_up_s,
                    fix="look at the service; the same command goes on where the run was",
                )
            self._probing = self._failures >= OPENS_AFTER

    def succeeded(self) -> None:
        """A request was served."""
        with self._changed:
            self._failures, self._failing_since, self._probing = 0, None, False
            self._last_success = time.monotonic()
            self.ever_succeeded = True
            self._changed.notify_all()

    def forgive(self) -> None:
        """The service answers after all: the requests that failed are to blame themselves."""
        with self._changed:
            self._failures, self._failing_since, self._probing = 0, None, False
            self._changed.notify_all()

    def failed(self, said: str) -> None:
        """A request got no answer."""
        with self._changed:
            self._failures += 1
            self._last_failure = said
            self._probing = False
            self._failing_since = self._failing_since or time.monotonic()
            self._changed.notify_all()

    def succeeded_since(self, moment: float) -> bool:
        """Whether a request was served after the moment, of `time.monotonic`."""
        with self._changed:
            return self._last_success > moment

    def patience_s(self) -> float:
        """Until the service is given up."""
        with self._changed:
            return max(0.0, self._patience_s())

    def _patience_s(self) -> float:
        outage_s = time.monotonic() - self._failing_since if self._failing_since else 0.0
        return self._section.give_up_s - outage_s
