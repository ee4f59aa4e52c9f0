"""JSON over HTTP to a service that is slow, overloaded or gone at times: retries with jitter, and a circuit breaker.

Service(section, "the judge").post("/chat/completions", {...}) -> {...}
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import httpx

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import RewardError

_WORTH_RETRYING = {408, 409, 425, 429, 500, 502, 503, 504}
_REFUSALS = {401, 403, 404, 405}  # of every request alike: the URL or the key is wrong
_FIRST_WAIT_S, _MAX_WAIT_S = 0.25, 8.0
_OPENS_AFTER = 5


class Unanswered(Exception):
    """One request got no answer; others did, or may."""


class _TryAgain(Exception):
    def __init__(self, said: str, after_s: float = 0.0) -> None:
        super().__init__(said)
        self.said, self.after_s = said, after_s


class Service:
    """May be used from many threads at once; at most `concurrency` requests are on their way."""

    def __init__(self, section: ServiceSection, what: str) -> None:
        assert section.url  # the config sees to it
        key = os.environ.get(section.api_key_env)
        self._section = section
        self._what = what
        self._slots = threading.BoundedSemaphore(section.concurrency)
        self._circuit = _Circuit(what, section)
        self._client = httpx.Client(
            base_url=section.url,
            timeout=section.timeout_s,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=section.concurrency),
        )

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The reply's JSON. Unanswered if this request can't be served; RewardError if the service is down for good."""
        attempt, started = 0, time.monotonic()
        while True:
            with self._slots:
                self._circuit.wait()
                try:
                    reply = self._ask(path, body)
                    self._circuit.succeeded()
                    return reply
                except _TryAgain as failure:
                    self._circuit.failed(failure.said)
                    attempt += 1
                    # while nobody is answered, the service is what fails, not this request
                    if attempt >= self._section.max_attempts and self._circuit.succeeded_since(started):
                        raise Unanswered(f"no answer after {attempt} attempts: {failure.said}") from None
                    pause_s = max(failure.after_s, random.uniform(0, min(_MAX_WAIT_S, _FIRST_WAIT_S * 2**attempt)))
            time.sleep(min(pause_s, self._circuit.patience_s()))

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        try:
            response = self._client.post(path, json=body)
            if response.is_success:
                return response.json()
        except httpx.TransportError as error:
            raise _TryAgain(f"{type(error).__name__}: {error}") from None
        except ValueError:
            raise _TryAgain("the reply is not JSON") from None
        said = f"{response.status_code}: {response.text[:200]}"
        if response.status_code in _REFUSALS:
            fix = "check rewards.open_ended: service.url, service.api_key_env and model"
            raise RewardError(f"{self._what} refuses requests: {said}", url=str(response.url), fix=fix)
        if response.status_code not in _WORTH_RETRYING:
            self._circuit.succeeded()
            raise Unanswered(said)
        raise _TryAgain(said, _retry_after_s(response))


class _Circuit:
    """Open after some failures without a success in between: then one request at a time tries, the others wait.

    With no success for `give_up_s`, every request that waits, and every later one, ends with the same error.
    """

    def __init__(self, what: str, section: ServiceSection) -> None:
        self._what, self._section = what, section
        self._changed = threading.Condition()
        self._failures = 0
        self._last_failure = ""
        self._last_success = time.monotonic()
        self._failing_since: float | None = None
        self._probing = False

    def wait(self) -> None:
        """Returns when a request may be made; RewardError once the service has been given up."""
        with self._changed:
            while self._failures >= _OPENS_AFTER and self._probing and self._patience_s() > 0:
                self._changed.wait(self._patience_s())
            if self._patience_s() <= 0:
                raise RewardError(
                    f"{self._what} doesn't answer",
                    url=self._section.url,
                    last=self._last_failure,
                    for_s=self._section.give_up_s,
                    fix="look at the service; the run can be resumed from its last checkpoint",
                )
            self._probing = self._failures >= _OPENS_AFTER

    def succeeded(self) -> None:
        with self._changed:
            self._failures, self._failing_since, self._probing = 0, None, False
            self._last_success = time.monotonic()
            self._changed.notify_all()

    def failed(self, said: str) -> None:
        with self._changed:
            self._failures += 1
            self._last_failure = said
            self._probing = False
            self._failing_since = self._failing_since or time.monotonic()
            self._changed.notify_all()

    def succeeded_since(self, moment: float) -> bool:
        with self._changed:
            return self._last_success > moment

    def patience_s(self) -> float:
        """Until the service is given up."""
        with self._changed:
            return max(0.0, self._patience_s())

    def _patience_s(self) -> float:
        outage_s = time.monotonic() - self._failing_since if self._failing_since else 0.0
        return self._section.give_up_s - outage_s


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(_MAX_WAIT_S, max(0.0, float(response.headers.get("retry-after", 0))))
    except ValueError:  # a date
        return 0.0
