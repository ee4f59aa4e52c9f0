"""JSON over HTTP to a service that is slow, overloaded or gone at times: retries with jitter, and a circuit breaker.

Service(section, "the judge", "rewards.open_ended.service", RewardError).post("chat/completions", {...}) -> {...}
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import ConfigError, VlaaRayError
from vlaa_ray.services.circuit_breaker import OPENS_AFTER, Circuit
from vlaa_ray.services.rate_limits import Pace, Slots, backoff_s

WORTH_RETRYING = {408, 409, 425, 429, 500, 502, 503, 504}
_TOO_MANY = 429
OVERLOADS = {_TOO_MANY, 503}
_REFUSES_ALL = {401, 402, 405, 407, *range(300, 400)}  # the URL or the key is wrong, or the account is empty
_REFUSES_ALL_AT_FIRST = {403, 404}  # likewise, unless others were served
_PROBE_S = 10.0
_MAX_REPLY_BYTES = 16 << 20


class Unanswered(Exception):
    """One request got no answer; others did, or may."""


class Refused(Unanswered):
    """The service won't serve this request: it is too long, or against its rules."""


class _RetryRequest(Exception):
    def __init__(self, said: str, after_s: float = 0.0, *, too_many: bool = False) -> None:
        super().__init__(said)
        self.said, self.after_s, self.too_many = said, after_s, too_many


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
        self._section = section
        self._what, self._key, self._error = what, key, error
        self._slots = Slots(section.concurrency)
        self._requests, self._tokens = Pace(section.requests_per_minute), Pace(tokens_per_minute)
        self._circuit = Circuit(what, section, error)
        self._stopped = threading.Event()
        self._failing: set[object] = set()  # requests that are to be tried again
        self._client = httpx.Client(
            base_url=section.url,
            timeout=section.timeout_s,
            headers={"Content-Type": "application/json"} | _authorization(section, key),
            limits=httpx.Limits(max_connections=section.concurrency, max_keepalive_connections=section.concurrency),
        )

    def post(
        self, path: str, body: dict[str, Any], read: Callable[[Any], Any] = lambda reply: reply, tokens: int = 0
    ) -> Any:
        """What `read` makes of the reply's JSON; a ValueError of it makes the reply garbage, which is tried again.

        Unanswered if this request can't be served, Refused if the service says so; the service's own error if it is
        down for good. `tokens` is what the request may take of `tokens_per_minute`.
        """
        content = json.dumps(body)  # escapes say what has no UTF-8, too: half of a surrogate pair in a model's text
        request = object()
        try:
            return self._until_answered(lambda: self._ask(path, content, read), request, tokens)
        finally:
            self._failing.discard(request)

    def stop(self) -> None:
        """Requests on their way still get their replies; those without one aren't tried again."""
        self._stopped.set()

    def _until_answered(self, ask: Callable[[], Any], request: object, tokens: int) -> Any:
        attempt, failed, started = 0, "", time.monotonic()
        while True:
            with self._slots.one():
                self._requests.wait(self._stopped)
                self._tokens.wait(self._stopped, tokens)
                self._wait_for_circuit(failed)
                if self._stopped.is_set():
                    raise Unanswered("stopped before it was asked")
                try:
                    reply = ask()
                    self._circuit.succeeded()
                    self._slots.succeeded()
                    return reply
                except _RetryRequest as failure:
                    failed = failure.said
                    self._failing.add(request)
                    self._circuit.failed(failed)
                    early = time.monotonic() - started < self._section.give_up_s
                    attempt += not (failure.too_many and early)  # which is no fault of this request
                    # while nobody is answered, the service is what fails, not this request
                    if attempt >= self._section.max_attempts and self._circuit.succeeded_since(started):
                        raise Unanswered(f"no answer after {attempt} attempts: {failed}") from None
                    pause_s = failure.after_s + backoff_s(attempt)
            if self._stopped.wait(min(pause_s, self._circuit.patience_s())):
                raise Unanswered(f"stopped after {attempt} attempts: {failed}")

    def _wait_for_circuit(self, failed: str) -> None:
        """Returns when a request may be made; the service's error, or Unanswered, once patience has ended.

        A few requests that fail while the service answers otherwise are to blame themselves: the last ones of a run
        have no others beside them that could show it.
        """
        try:
            self._circuit.wait()
        except self._error:
            if len(self._failing) >= OPENS_AFTER or not self._answers_otherwise():
                raise
            self._circuit.forgive()
            if failed:
                raise Unanswered(f"no answer for {self._section.give_up_s:g} s: {failed}") from None

    def _answers_otherwise(self) -> bool:
        try:
            return self._client.get("models", timeout=min(_PROBE_S, self._section.timeout_s)).status_code < 500
        except httpx.RequestError:
            return False

    def _ask(self, path: str, content: str, read: Callable[[Any], Any]) -> Any:
        try:
            response, data = self._exchange(path, content)
            if response.is_success:
                return read(json.loads(data))
        except httpx.RequestError as error:
            raise _RetryRequest(f"{type(error).__name__}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise _RetryRequest(f"the reply can't be read: {error}") from None
        said, status = f"{response.status_code}: {data[:200].decode(errors='replace')}", response.status_code
        if status in _REFUSES_ALL or (status in _REFUSES_ALL_AT_FIRST and not self._circuit.ever_succeeded):
            fix = f"check {self._key}: url and api_key_env, and the model's name; and the account there"
            raise self._error(f"{self._what} refuses requests: {said}", url=str(response.url), fix=fix)
        if status in OVERLOADS:
            self._slots.overloaded()
        if status not in WORTH_RETRYING:
            self._circuit.succeeded()
            raise Refused(said)
        raise _RetryRequest(said, self._retry_after_s(response), too_many=status == _TOO_MANY)

    def _exchange(self, path: str, content: str) -> tuple[httpx.Response, bytes]:
        """The response and its body, within `timeout_s` in all: httpx's own timeout is of each read."""
        end, parts, size = time.monotonic() + self._section.timeout_s, [], 0
        with self._client.stream("POST", path, content=content) as response:
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if time.monotonic() > end:
                    raise httpx.ReadTimeout(f"no whole reply within {self._section.timeout_s:g} s")
                if size > _MAX_REPLY_BYTES:
                    raise ValueError(f"it is larger than {_MAX_REPLY_BYTES:,} bytes")
        return response, b"".join(parts)

    def _retry_after_s(self, response: httpx.Response) -> float:
        try:
            return min(self._section.give_up_s, max(0.0, float(response.headers.get("retry-after", 0))))
        except ValueError:  # a date
            return 0.0


def _authorization(section: ServiceSection, key: str) -> dict[str, str]:
    secret = os.environ.get(section.api_key_env, "").strip() if section.api_key_env else ""
    if not (secret.isascii() and secret.isprintable()):
        fix = f"{key}.api_key_env names it; nothing but the key may be in it"
        raise ConfigError("the API key holds characters that no header can", variable=section.api_key_env, fix=fix)
    return {"Authorization": f"Bearer {secret}"} if secret else {}
