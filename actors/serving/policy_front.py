"""The front of a served model: it checks requests, asks a replica, and asks another one if the first dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx
import ray
from pydantic import SecretStr, ValidationError
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError
from ray.serve.llm.openai_api_models import ChatCompletionRequest
from ray.util.metrics import Counter, Gauge, Histogram
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.v1.engine.exceptions import EngineDeadError

from actors.process.replica_sockets import listen_on_node_address
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.services.secret import secret_in
from vlaa_ray.serving.exposition import merged
from vlaa_ray.serving.gate import read_body, require_key
from vlaa_ray.serving.pictures import Pictures
from vlaa_ray.serving.refusals import RequestRefused
from vlaa_ray.serving.requests import RequestReader, RequestRules
from vlaa_ray.serving.settings import ServeSettings

_REPLICA_DIED = (RayActorError, EngineDeadError)
_CHECK_THREADS = 8
_SCRAPE_S = 5.0
_STATUS_S = 1.0  # for which the state of the replicas is remembered
_MOST_PAUSE_S = 1.0
_CREATED = int(time.time())


class PolicyFront:
    """The ingress of the application: one method for each path of the API."""

    _key: ClassVar[SecretStr | None] = None

    def __init__(self, handles: dict[str, Any], settings: ServeSettings, key: SecretStr | None) -> None:
        listen_on_node_address()
        config = settings.config
        secret = key.get_secret_value() if key else secret_in(config.http.key_env, "http.key_env")
        require_key(config.http.host, secret, config.http.key_env)
        PolicyFront._key = SecretStr(secret) if secret else None  # one front a process
        self._settings, self._limits = settings, config.limits
        ((self._name, handle),) = handles.items()
        self._handle = handle.options(stream=True)
        chat_format = chat_format_of(settings.model)
        rules = RequestRules(
            model=settings.name,
            system_prompt=settings.model.system_prompt,
            limits=config.limits,
            refuse_control_tokens=chat_format.refuse_control_tokens,
        )
        self._reader = RequestReader(rules, Pictures(config.limits, Fetcher(config.fetch).file, chat_format.input_size))
        self._threads = ThreadPoolExecutor(_CHECK_THREADS, thread_name_prefix="check")
        self._in_flight, self._draining = 0, False
        self._status: tuple[float, str] = (0.0, "")
        self._measured = _FrontMetrics()

    @staticmethod
    def key_of_this_process() -> SecretStr | None:
        """Return the key that requests to the front in this process must carry."""
        return PolicyFront._key

    async def check_health(self) -> None:
        """Return without an error, which tells Serve that the front is healthy."""

    async def chat(self, request: Request) -> Response:
        """Answer POST /v1/chat/completions.

        Raises:
            RequestRefused: the request is wrong, or there is no room or no time for it.

        """
        started = time.monotonic()
        try:
            body = await self._checked(request)
        except RequestRefused as refused:
            self._measured.refused(refused)
            raise
        self._enter()
        answer = self._answer(body)
        try:
            first = await anext(answer)
        except RequestRefused as refused:
            self._measured.refused(refused)
            self._leave(started)
            raise
        except BaseException:
            self._leave(started)
            raise
        if body.stream:
            return StreamingResponse(self._streamed(first, answer, started), media_type="text/event-stream")
        self._leave(started)
        return Response(first.model_dump_json(), media_type="application/json")

    async def models(self) -> JSONResponse:
        """Answer GET /v1/models with the only model."""
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model_data(self, model: str) -> JSONResponse:
        """Answer GET /v1/models/NAME; raises RequestRefused with 404 for another name."""
        if model != self._name:
            fix = f"use the model {self._name!r}"
            raise RequestRefused(f"no model {model[:200]!r}", status=404, code="model_not_found", fix=fix)
        return JSONResponse(self._card())

    async def health(self) -> JSONResponse:
        """Answer GET /health: 200 if a replica is running and the server takes requests, else 503."""
        state = "draining" if self._draining else await self._replica_state()
        return JSONResponse({"status": state, "model": self._name}, status_code=200 if state == "ok" else 503)

    async def metrics(self) -> PlainTextResponse:
        """Answer GET /metrics with the metrics of the front, of Serve and of vLLM on all nodes, for Prometheus."""
        nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"] and node["MetricsExportPort"]]
        urls = [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes]
        async with httpx.AsyncClient(timeout=_SCRAPE_S, trust_env=False) as client:
            replies = await asyncio.gather(*map(client.get, urls), return_exceptions=True)
        texts = [reply.text for reply in replies if isinstance(reply, httpx.Response) and reply.is_success]
        return PlainTextResponse(merged(texts), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def drain(self) -> int:
        """Refuse new requests from now on, and return the number of those in flight."""
        self._draining = True
        return self._in_flight

    async def _checked(self, request: Request) -> ChatCompletionRequest:
        """Return the request for the engine; raises RequestRefused."""
        if self._draining:
            raise RequestRefused("the server is stopping", status=503, code="draining", fix="ask another server")
        body = await read_body(request.stream(), request.headers.get("content-length"), self._limits.max_body_bytes)
        values = await asyncio.get_running_loop().run_in_executor(self._threads, self._reader.read, body)
        try:
            return ChatCompletionRequest.model_validate({**values, "model": self._name})
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            message = f"{where or 'the request'}: {problem['msg'].removeprefix('Value error, ')}"
            raise RequestRefused(message, code="invalid_value", param=where or None) from error

    async def _answer(self, body: ChatCompletionRequest) -> AsyncIterator[Any]:
        """Yield what a replica answers; before the first part another replica is asked if this one dies.

        Raises:
            RequestRefused: vLLM refuses the request, all replicas are full, or no answer begins in time.

        """
        deadline = time.monotonic() + self._settings.config.request_timeout_s
        attempt = 0
        while True:
            parts = self._handle.chat.remote(body, None)
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    first = await anext(parts)
                break
            except BackPressureError:
                message = "all replicas are full"
                raise RequestRefused(message, status=503, code="overloaded", fix="try again later") from None
            except TimeoutError:
                parts.cancel()
                wait = f"{self._settings.config.request_timeout_s:g} s"
                raise RequestRefused(f"no answer began within {wait}", status=503, code="timeout") from None
            except _REPLICA_DIED:
                attempt += 1
                self._measured.retries.inc()
                await asyncio.sleep(min(_MOST_PAUSE_S, 0.05 * 2**attempt))
        _raise_error(first)
        yield first
        async for part in parts:
            yield part

    async def _streamed(self, first: Any, rest: AsyncIterator[Any], started: float) -> AsyncIterator[str]:
        """Yield the parts of a streamed answer; if its replica dies, the last part says so."""
        try:
            yield _events(first)
            async for part in rest:
                yield _events(part)
        except RayError as error:
            self._measured.broken.inc()
            reason = type(error).__name__
            message = f"the answer broke off: {reason}"
            refused = RequestRefused(message, status=500, code="replica_lost", fix="ask again")
            yield f"data: {json.dumps(refused.body())}\n\n"
        finally:
            self._leave(started)

    def _enter(self) -> None:
        self._in_flight += 1
        self._measured.in_flight.set(self._in_flight)

    def _leave(self, started: float) -> None:
        self._in_flight -= 1
        self._measured.in_flight.set(self._in_flight)
        self._measured.seconds.observe(time.monotonic() - started)

    def _card(self) -> dict[str, Any]:
        return {"id": self._name, "object": "model", "created": _CREATED, "owned_by": "vlaa-ray"}

    async def _replica_state(self) -> str:
        """Return "ok" if a replica of the model is running, else "starting"."""
        checked, state = self._status
        if time.monotonic() - checked > _STATUS_S:
            state = await asyncio.to_thread(_replica_state, serve.get_replica_context().app_name)
            self._status = (time.monotonic(), state)
        return state


class _FrontMetrics:
    """The front's own metrics, which Ray exports."""

    def __init__(self) -> None:
        self.seconds = Histogram(
            "vlaa_serve_request_seconds",
            description="Seconds from the arrival of a request to the end of its answer.",
            boundaries=[0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
        )
        self.in_flight = Gauge("vlaa_serve_requests_in_flight", description="Requests that have no whole answer yet.")
        self.retries = Counter("vlaa_serve_retries", description="Requests sent to another replica: the first died.")
        self.broken = Counter("vlaa_serve_broken_streams", description="Streamed answers whose replica died.")
        self._refusals = Counter(
            "vlaa_serve_refusals", description="Requests that were refused.", tag_keys=("status", "code")
        )

    def refused(self, refused: RequestRefused) -> None:
        self._refusals.inc(tags={"status": str(refused.status), "code": refused.code})


def _replica_state(app_name: str) -> str:
    application = serve.status().applications.get(app_name)
    deployments = application.deployments if application else {}
    running = [
        deployment.replica_states.get("RUNNING", 0) for name, deployment in deployments.items() if name != "front"
    ]
    return "ok" if running and min(running) > 0 else "starting"


def _raise_error(first: Any) -> None:
    """Raise RequestRefused if vLLM's first part is an error."""
    part = first[0] if isinstance(first, list) and first else first
    if isinstance(part, ErrorResponse):
        error = part.error
        kind = "invalid_value" if error.code < 500 else "engine_error"
        raise RequestRefused(error.message, status=error.code, code=kind, param=error.param)


def _events(part: Any) -> str:
    """Return vLLM's events of one part, which are texts already."""
    return "".join(part) if isinstance(part, list) else str(part)
