"""JSON over HTTP to a service that is slow, overloaded or gone at times: retries with jitter, and a circuit breaker.

Service(section, "the judge", "rewards.open_ended.service", RewardError).post("chat/completions", {...}) -> {...}
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.pacing import Pace, Slots

_WORTH_RETRYING = {408, 409, 425, 429, 500, 502, 503, 504}
_OVERLOADS = {429, 503}
_REFUSALS = {401, 403, 404, 405}  # of every request alike: the URL or the key is wrong
_FIRST_WAIT_S, _MAX_WAIT_S = 0.25, 8.0
_OPENS_AFTER = 5


class Unanswered(Exception):
    """One request got no answer; others did, or may."""


class Refused(Unanswered):
    """The service will never serve this request: it is too long, or against its rules."""


class _TryAgain(Exception):
    def __init__(self, said: str, after_s: float = 0.0) -> None:
        super().__init__(said)
        self.said, self.after_s = said, after_s


class Service:
    """May be used from many threads at once; at most `concurrency` requests are on their way.

    `what` and `key` name it in errors, which are of type `error`: to people, and in the config.
    """

    def __init__(
        self,
        section: ServiceSection,
        what: str,
        key: str,
        error: type[VlaaRayError],
        tokens_per_minute: int | None = None,
    ) -> None:
        assert section.url  # the config sees to it
        secret = os.environ.get(section.api_key_env)
        self._section = section
        self._what, self._key, self._error = what, key, error
        self._slots = Slots(section.concurrency)
        self._requests, self._tokens = Pace(section.requests_per_minute), Pace(tokens_per_minute)
        self._circuit = _Circuit(what, section, error)
        self._stopped = threading.Event()
        self._client = httpx.Client(
            base_url=section.url,
            timeout=section.timeout_s,
            headers={"Authorization": f"Bearer {secret}"} if secret else {},
            limits=httpx.Limits(max_connections=section.concurrency, max_keepalive_connections=section.concurrency),
        )

    def post(
        self, path: str, body: dict[str, Any], read: Callable[[Any], Any] = lambda reply: reply, tokens: int = 0
    ) -> Any:
        """What `read` makes of the reply's JSON; a ValueError of it makes the reply garbage, which is tried again.

        Unanswered if this request can't be served, Refused if it never will be; the service's own error if it is down
        for good. `tokens` is what the request may take of `tokens_per_minute`.
        """
        attempt, failed, started = 0, "", time.monotonic()
        while True:
            self._requests.wait()
            self._tokens.wait(tokens)
            with self._slots.one():
                self._circuit.wait()
                if self._stopped.is_set():
                    raise Unanswered("stopped before it was asked")
                try:
                    reply = self._ask(path, body, read)
                    self._circuit.succeeded()
                    self._slots.succeeded()
                    return reply
                except _TryAgain as failure:
                    failed = failure.said
                    self._circuit.failed(failed)
                    attempt += 1
                    # while nobody is answered, the service is what fails, not this request
                    if attempt >= self._section.max_attempts and self._circuit.succeeded_since(started):
                        raise Unanswered(f"no answer after {attempt} attempts: {failed}") from None
                    pause_s = max(failure.after_s, random.uniform(0, min(_MAX_WAIT_S, _FIRST_WAIT_S * 2**attempt)))
            if self._stopped.wait(min(pause_s, self._circuit.patience_s())):
                raise Unanswered(f"stopped after {attempt} attempts: {failed}")

    def stop(self) -> None:
        """Requests on their way still get their replies; those without one aren't tried again."""
        self._stopped.set()

    def _ask(self, path: str, body: dict[str, Any], read: Callable[[Any], Any]) -> Any:
        try:
            # escapes say what has no UTF-8, too: half of a surrogate pair in the text of a model
            response = self._client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
            if response.is_success:
                return read(response.json())
        except httpx.TransportError as error:
            raise _TryAgain(f"{type(error).__name__}: {error}") from None
        except ValueError as error:
            raise _TryAgain(f"the reply can't be read: {error}") from None
        said = f"{response.status_code}: {response.text[:200]}"
        if response.status_code in _REFUSALS:
            fix = f"check {self._key}: url and api_key_env, and the model's name"
            raise self._error(f"{self._what} refuses requests: {said}", url=str(response.url), fix=fix)
        if response.status_code in _OVERLOADS:
            self._slots.overloaded()
        if response.status_code not in _WORTH_RETRYING:
            self._circuit.succeeded()
            raise Refused(said)
        raise _TryAgain(said, _retry_after_s(response))


class _Circuit:
    """Open after some failures without a success in between: then one request at a time tries, the others wait.

    With no success for `give_up_s`, every request that waits, and every later one, ends with the same error.
    """

    def __init__(self, what: str, section: ServiceSection, error: type[VlaaRayError]) -> None:
        self._what, self._section, self._error = what, section, error
        self._changed = threading.Condition()
        self._failures = 0
        self._last_failure = ""
        self._last_success = time.monotonic()
        self._failing_since: float | None = None
        self._probing = False

    def wait(self) -> None:
        """Returns when a request may be made; its error once the service has been given up."""
        with self._changed:
            while self._failures >= _OPENS_AFTER and self._probing and self._patience_s() > 0:
                self._changed.wait(self._patience_s())
            if self._patience_s() <= 0:
                raise self._error(
                    f"{self._what} doesn't answer",
                    url=self._section.url,
                    last=self._last_failure,
                    for_s=self._section.give_up_s,
                    fix="look at the service; the same command goes on where the run was",
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
