"""A client for services that speak JSON over HTTP and may be slow, overloaded or down for a while.

    judge = Service(section, "the judge", "rewards.open_ended.service", RewardError)
    judge.post("chat/completions", {...})  -> {...}

It retries with random pauses, limits the requests in flight and per minute, and has a circuit breaker.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.services.circuit_breaker import OPENS_AFTER, Circuit
from vlaa_ray.services.rate_limits import Pace, Slots
from vlaa_ray.services.retries import (
    OVERLOAD_STATUSES,
    RETRYABLE_STATUSES,
    TOO_MANY_REQUESTS,
    TryAgain,
    backoff_s,
)
from vlaa_ray.services.secret import secret_in

_REFUSES_ALL = {401, 402, 405, 407, *range(300, 400)}  # the URL or the key is wrong, or the account is empty
_REFUSES_ALL_AT_FIRST = {403, 404}  # the same, unless another request was served before
_PROBE_S = 10.0
_MAX_REPLY_BYTES = 16 << 20
_MAX_LIST_BYTES = 1 << 20


class Unanswered(Exception):
    """One request got no answer. Others may still get theirs."""


class Refused(Unanswered):
    """The service refused this request, for instance because it is too long or against the rules."""


class Service:
    """One service, for use from many threads. At most `concurrency` requests are in flight at the same time.

    Errors are of the type `error`. They call the service `service_name`, and name `key` as its section of the config.
    `tokens_per_minute` limits the sum of the `tokens` of all calls of `post`.

    Raises ConfigError if the API key in the environment can't be sent in an HTTP header.
    """

    def __init__(
        self,
        section: ServiceSection,
        service_name: str,
        key: str,
        error: type[VlaaRayError],
        tokens_per_minute: int | None = None,
    ) -> None:
        assert section.url  # the config makes sure of it
        self._section = section
        self._service_name, self._key, self._error = service_name, key, error
        self._slots = Slots(section.concurrency)
        self._requests, self._tokens = Pace(section.requests_per_minute), Pace(tokens_per_minute)
        self._circuit = Circuit(service_name, section, error)
        self._stopped = threading.Event()
        self._failing: set[object] = set()  # requests that failed and will be tried again
        self._client = httpx.Client(
            base_url=section.url,
            timeout=section.timeout_s,
            headers={"Content-Type": "application/json"} | _authorization(section, key),
            limits=httpx.Limits(max_connections=section.concurrency, max_keepalive_connections=section.concurrency),
        )

    def post(
        self, path: str, body: dict[str, Any], read: Callable[[Any], Any] = lambda reply: reply, tokens: int = 0
    ) -> Any:
        """Return what `read` makes of the reply's JSON.

        If `read` raises ValueError, the reply counts as damaged and the request is tried again. `tokens` is the largest
        number of tokens that the request may cost; it counts towards `tokens_per_minute`.

        Raises Refused if the service refuses this request, Unanswered if this request gets no answer while others
        do, and the service's own error type if the service is down for good or refuses every request.
        """
        content = json.dumps(body)  # JSON's escapes can hold half of a surrogate pair, UTF-8 can't
        request = object()
        try:
            return self._until_answered(lambda: self._ask(path, content, read), request, tokens)
        finally:
            self._failing.discard(request)

    def models(self) -> list[str]:
        """Return the names of the models that an OpenAI-compatible service lists.

        Raises the service's own error type if it gives no such list.
        """
        try:
            response = self._client.get("models", timeout=min(_PROBE_S, self._section.timeout_s))
            response.raise_for_status()
            if len(response.content) > _MAX_LIST_BYTES:
                raise ValueError(f"the list is larger than {_MAX_LIST_BYTES:,} bytes")
            return [str(model["id"]) for model in response.json()["data"]]
        except (httpx.HTTPError, ValueError, TypeError, LookupError, RecursionError) as error:
            fix = f"check url and api_key_env in {self._key}, or name the model"
            message = f"{self._service_name} lists no models: {type(error).__name__}: {error}"
            raise self._error(message, url=self._section.url, fix=fix) from error

    def stop(self) -> None:
        """Start no request and no retry from now on. Requests in flight may still get their replies."""
        self._stopped.set()

    def _until_answered(self, ask: Callable[[], Any], request: object, tokens: int) -> Any:
        """Call `ask` until it returns, and return its result. Raises the errors of `post`."""
        attempt, last_failure, started = 0, "", time.monotonic()
        while True:
            with self._slots.hold():
                self._requests.wait(self._stopped)
                self._tokens.wait(self._stopped, tokens)
                self._wait_for_circuit(last_failure)
                if self._stopped.is_set():
                    raise Unanswered("the run was stopped before the request was sent")
                try:
                    reply = ask()
                    self._circuit.succeeded()
                    self._slots.succeeded()
                    return reply
                except TryAgain as failure:
                    last_failure = failure.reason
                    self._failing.add(request)
                    self._circuit.failed(last_failure)
                    early = time.monotonic() - started < self._section.give_up_s
                    attempt += not (failure.overloaded and early)  # an overload is not the fault of this request
                    # While no request is answered, the service fails, not this request.
                    if attempt >= self._section.max_attempts and self._circuit.succeeded_since(started):
                        raise Unanswered(f"no answer after {attempt} attempts: {last_failure}") from None
                    pause_s = failure.after_s + backoff_s(attempt)
            if self._stopped.wait(min(pause_s, self._circuit.patience_s())):
                raise Unanswered(f"the run was stopped; {attempt} attempts had failed: {last_failure}")

    def _wait_for_circuit(self, last_failure: str) -> None:
        """Wait until a request may be made.

        Once the service has failed for `give_up_s`, this raises the service's own error. There is one exception: only
        a few requests are failing, and the service still answers another question. Then the fault lies in these
        requests, and each that has failed before raises Unanswered. (The last requests of a run need this rule, because
        no other requests are left whose success could show that the service works.)
        """
        try:
            self._circuit.wait()
        except self._error:
            if len(self._failing) >= OPENS_AFTER or not self._answers_otherwise():
                raise
            self._circuit.forgive()
            if last_failure:
                raise Unanswered(f"no answer for {self._section.give_up_s:g} s: {last_failure}") from None

    def _answers_otherwise(self) -> bool:
        """Return whether the service answers a request for its list of models."""
        try:
            return self._client.get("models", timeout=min(_PROBE_S, self._section.timeout_s)).status_code < 500
        except httpx.RequestError:
            return False

    def _ask(self, path: str, content: str, read: Callable[[Any], Any]) -> Any:
        """Send the request once. Raises TryAgain, Refused, or the service's own error."""
        try:
            response, data = self._exchange(path, content)
            if response.is_success:
                return read(json.loads(data))
        except httpx.RequestError as error:
            raise TryAgain(f"{type(error).__name__}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise TryAgain(f"the reply can't be read: {error}") from None
        said, status = f"{response.status_code}: {data[:200].decode(errors='replace')}", response.status_code
        if status in _REFUSES_ALL or (status in _REFUSES_ALL_AT_FIRST and not self._circuit.ever_succeeded):
            fix = f"check url and api_key_env in {self._key}, the name of the model, and your account at the service"
            raise self._error(f"{self._service_name} refuses requests: {said}", url=str(response.url), fix=fix)
        if status in OVERLOAD_STATUSES:
            self._slots.overloaded()
        if status not in RETRYABLE_STATUSES:
            self._circuit.succeeded()
            raise Refused(said)
        raise TryAgain(said, self._retry_after_s(response), overloaded=status == TOO_MANY_REQUESTS)

    def _exchange(self, path: str, content: str) -> tuple[httpx.Response, bytes]:
        """Return the response and its body, within `timeout_s` in total. (httpx bounds each read alone.)"""
        end, parts, size = time.monotonic() + self._section.timeout_s, [], 0
        with self._client.stream("POST", path, content=content) as response:
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if time.monotonic() > end:
                    raise httpx.ReadTimeout(f"no complete reply within {self._section.timeout_s:g} s")
                if size > _MAX_REPLY_BYTES:
                    raise ValueError(f"it is larger than {_MAX_REPLY_BYTES:,} bytes")
        return response, b"".join(parts)

    def _retry_after_s(self, response: httpx.Response) -> float:
        """Return the pause in seconds that the service asks for: between 0 and `give_up_s`, 0 if it names none."""
        try:
            return min(self._section.give_up_s, max(0.0, float(response.headers.get("retry-after", 0))))
        except ValueError:  # it may be a date
            return 0.0


def _authorization(section: ServiceSection, key: str) -> dict[str, str]:
    """Return the header with the API key from the environment, or no header if there is no key.

    Raises ConfigError if the key has characters that a header can't hold.
    """
    secret = secret_in(section.api_key_env, f"{key}.api_key_env")
    return {"Authorization": f"Bearer {secret}"} if secret else {}
