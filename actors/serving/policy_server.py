"""A trained model behind an OpenAI-compatible API, on Ray Serve's LLM library.

    applications:                                   # of a Serve config file, for `serve deploy`
      - import_path: actors.serving.policy_server:build
        args: {policy: {model: builtin}}            # the keys of a ServeConfig

A request goes from Serve's proxy to the front (`PolicyFront`), which checks it, and from there to a replica of the
model (`PolicyServer`: Ray's LLMServer with vLLM). While an answer has not begun, the front asks another replica if the
first one dies.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from ray import serve
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.ingress import make_fastapi_ingress
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from actors.process.reaper import start_reaper
from actors.process.replica_sockets import listen_on_node_address
from actors.serving.policy_front import PolicyFront
from vlaa_ray.services.secret import secret_in
from vlaa_ray.serving.gate import Gate, require_key
from vlaa_ray.serving.refusals import RequestRefused
from vlaa_ray.serving.settings import (
    ServeSettings,
    engine_arguments,
    engine_environment,
    serve_config,
    settings_of,
)

_ENGINE_STOP_S = 10.0
_REPLICAS_PER_FRONT = 8
_HEALTH_CHECK_S = 3.0
_ENDPOINTS = {
    "chat": lambda app: app.post("/v1/chat/completions"),
    "models": lambda app: app.get("/v1/models"),
    "model_data": lambda app: app.get("/v1/models/{model:path}"),
    "health": lambda app: app.get("/health"),
    "metrics": lambda app: app.get("/metrics"),
}


class PolicyServer(LLMServer):
    """A replica of the model; its engine's processes and their shared memory end with it, however it ends."""

    async def __init__(self, llm_config: LLMConfig, **options: Any) -> None:  # type: ignore[misc] # as in LLMServer
        from vlaa_ray.compat.cpu_wheels import register

        listen_on_node_address()
        start_reaper()
        register()
        if llm_config.engine_kwargs.get("reasoning_parser_plugin"):
            import vlaa_ray.serving.vllm_parser  # noqa: F401 - it registers the parser
        await super().__init__(llm_config, **options)

    async def __del__(self) -> None:
        """End the engine's processes; Serve calls this when the replica's answers have ended."""
        client = getattr(getattr(self, "engine", None), "_engine_client", None)
        if client is not None:
            await asyncio.to_thread(client.shutdown, timeout=_ENGINE_STOP_S)


def build(args: Mapping[str, Any]) -> Any:
    """Return the Serve application of a Serve config file; `args` are the keys of a ServeConfig.

    Raises:
        ConfigError: keys are wrong, or the server can be reached by other machines and has no key.
        ModelError: there is no such model.

    """
    config = serve_config(args)
    require_key(config.http.host, secret_in(config.http.key_env, "http.key_env"), config.http.key_env)
    return policy_application(settings_of(config), None)


def policy_application(settings: ServeSettings, key: SecretStr | None) -> Any:
    """Return the Serve application; `key` is the key of requests, None to read it from the front's environment."""
    server = build_llm_deployment(llm_config(settings))
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers={RequestRefused: _refused, HTTPException: _http_error},
    )
    app.add_middleware(Gate, key=PolicyFront.key_of_this_process)
    front = make_fastapi_ingress(PolicyFront, endpoint_map=_ENDPOINTS, app=app)
    replicas = settings.config.replicas
    options = {
        "num_replicas": math.ceil(replicas.max / _REPLICAS_PER_FRONT),
        "max_ongoing_requests": replicas.max * replicas.max_requests + replicas.max_waiting,
        "ray_actor_options": {"num_cpus": 0},
        "graceful_shutdown_timeout_s": settings.config.drain_s,
        "health_check_period_s": _HEALTH_CHECK_S,
    }
    deployment = serve.deployment(front, name="front", **options)
    return deployment.bind(handles={settings.name: server}, settings=settings, key=key)


def llm_config(settings: ServeSettings) -> LLMConfig:
    """Return the config of Ray's LLM library: the model, its engine, its place, and how its replicas scale."""
    replicas = settings.config.replicas
    gpus = {"GPU": 1} if replicas.gpus else {}
    return LLMConfig(
        model_loading_config={"model_id": settings.name, "model_source": settings.model.path},
        engine_kwargs=engine_arguments(settings),
        accelerator_config={"kind": "gpu" if replicas.gpus else "cpu"},
        placement_group_config={"bundles": [{"CPU": replicas.cpus, **gpus}] * max(1, replicas.gpus)},
        runtime_env={"env_vars": engine_environment(settings)},
        server_cls=PolicyServer,
        experimental_configs={"stream_batching_interval_ms": settings.config.engine.stream_interval_ms},
        deployment_config={
            "autoscaling_config": {
                "min_replicas": replicas.min,
                "max_replicas": replicas.max,
                "target_ongoing_requests": replicas.target_requests,
                "upscale_delay_s": replicas.upscale_delay_s,
                "downscale_delay_s": replicas.downscale_delay_s,
                "metrics_interval_s": 2.0,
                "look_back_period_s": 10.0,
            },
            "max_ongoing_requests": replicas.max_requests,
            "max_queued_requests": replicas.max_waiting,
            "graceful_shutdown_timeout_s": settings.config.drain_s,
            "health_check_period_s": _HEALTH_CHECK_S,
            "ray_actor_options": {"num_cpus": 0},
        },
    )


def _response(error: RequestRefused) -> JSONResponse:
    headers = {"Retry-After": "5"} if error.status == 503 else None
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


async def _refused(request: Any, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestRefused)
    return _response(error)


async def _http_error(request: Any, error: Exception) -> JSONResponse:
    """Return an error of routing, such as 404 for an unknown path, in the form of OpenAI's API."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}: {error.detail}"
    fix = "this server answers POST /v1/chat/completions, GET /v1/models, /health and /metrics"
    return _response(RequestRefused(what, status=error.status_code, code="unknown_path", fix=fix))
