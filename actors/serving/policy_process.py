"""The process of `vlaa-ray serve`: it starts Ray and the application, waits for a signal, and ends without loss."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import ray
from pydantic import SecretStr
from ray import serve
from ray.llm._internal.serve.utils.broadcast import broadcast

from actors.process.own_ray import start_own_ray
from actors.process.reaper import TOKEN, owned
from actors.serving.policy_server import policy_application
from vlaa_ray.config import ServeConfig
from vlaa_ray.errors import DeadlineExceeded, PlacementError, RolloutError, RunInterrupted
from vlaa_ray.serving.settings import ServeSettings

APP = "vlaa-ray"
_POLL_S = 0.5
_SETTLE_S = 20.0  # for the processes of Ray and vLLM to end
_Report = Callable[[str], None]


def serve_policy(
    settings: ServeSettings, key: SecretStr | None, report: _Report, beside: AbstractContextManager[str] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then let the answers in flight end; `report` shows a line to the user.

    `beside` is entered once the server answers, and left when it stops; it yields the address of a page.

    Raises:
        PlacementError: this machine has too few CPUs or GPUs for the least number of replicas.
        RolloutError: the replicas can't start.
        DeadlineExceeded: the replicas did not start in time.
        RunInterrupted: a signal came before the server was ready.

    """
    config = settings.config
    for name in ("ray.serve", "ray.llm"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        _start_ray(config)
        with _stop_signal() as stop:  # after Ray's start, which sets a handler of its own
            serve.start(http_options={"host": config.http.host, "port": config.http.port})
            target = serve.RunTarget(target=policy_application(settings, key), name=APP, route_prefix="/")
            serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
            _wait_until_running(config, stop)
            asks = f"the key of {config.http.key_env}" if key else "no key, so that only this machine may ask"
            report(f"Serving {settings.name} at http://{config.http.host}:{config.http.port}/v1 with {asks}")
            with beside or nullcontext("") as page:
                if page:
                    report(f"Page: {page}")
                stop.wait()
            report("Stopping: answers in flight may end, new requests are refused")
            _drain(config.drain_s)
            _end_serve(config)
    finally:
        if ray.is_initialized():
            _end_serve(config)
            ray.shutdown()
        _wait_for_own_processes()


def _end_serve(config: ServeConfig) -> None:
    """End the application, and Serve in a Ray of our own; this does nothing if they have ended."""
    if config.ray.address == "local":
        serve.shutdown()
    elif APP in serve.status().applications:
        serve.delete(APP, _blocking=False)


def _start_ray(config: ServeConfig) -> None:
    os.environ.setdefault("RAY_worker_niceness", "0")  # the server is what this machine is for
    if config.ray.address != "local":
        ray.init(address=config.ray.address, log_to_driver=False)
        return
    start_own_ray(object_store_memory=config.ray.object_store_bytes, log_to_driver=False, logging_level="WARNING")
    replicas, has = config.replicas, ray.cluster_resources()
    needed = {"CPU": replicas.min * replicas.cpus * max(1, replicas.gpus), "GPU": replicas.min * replicas.gpus}
    for resource, number in needed.items():
        if number > has.get(resource, 0):
            raise PlacementError(
                f"this machine has too few {resource}s for {replicas.min} replicas",
                got=has.get(resource, 0),
                expected=number,
                fix="set replicas.min, replicas.cpus or replicas.gpus lower, or join a cluster with ray.address",
            )


def _wait_until_running(config: ServeConfig, stop: _Stop) -> None:
    deadline = time.monotonic() + config.engine.start_timeout_s
    while True:
        application = serve.status().applications.get(APP)
        status = application.status.value if application else "NOT_STARTED"
        if status == "RUNNING":
            return
        if application and status in ("DEPLOY_FAILED", "UNHEALTHY"):
            notes = [deployment.message for deployment in application.deployments.values() if deployment.message]
            message = "; ".join([application.message, *notes]).strip("; ")
            raise RolloutError(f"the model can't be served: {message[-3000:]}", fix="see the cause above")
        if stop.is_set():
            raise RunInterrupted("the server was stopped before it was ready", signal=stop.signal)
        if time.monotonic() > deadline:
            limit = f"{config.engine.start_timeout_s:g} s"
            fix = "see /tmp/ray/session_latest/logs/serve; raise engine.start_timeout_s for a large model"
            raise DeadlineExceeded(f"no replica was ready within {limit}", fix=fix, state=status)
        time.sleep(_POLL_S)


def _drain(drain_s: float) -> None:
    """Make the fronts refuse new requests, and wait for those in flight, `drain_s` seconds at most."""
    handle = serve.get_app_handle(APP)
    deadline = time.monotonic() + drain_s
    while sum(broadcast(handle, "drain")) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


class _Stop(threading.Event):
    """An event that a signal sets; `signal` is its number."""

    signal = 0


@contextmanager
def _stop_signal() -> Iterator[_Stop]:
    """Yield an event that SIGTERM and SIGINT set, instead of what they do otherwise."""
    stop = _Stop()

    def note(number: int, frame: Any) -> None:
        stop.signal = number
        stop.set()

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_own_processes() -> None:
    """Wait until the processes that this one started have ended, so that nothing of the server is left after it."""
    token, deadline = os.environ.get(TOKEN, ""), time.monotonic() + _SETTLE_S
    while token and set(owned(token)) - {os.getpid()} and time.monotonic() < deadline:
        time.sleep(_POLL_S)
