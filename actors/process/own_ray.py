"""A Ray that a command starts for itself, and that no other machine can reach."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psutil
import ray
from ray._private import ray_constants

from actors.process.reaper import start_reaper
from vlaa_ray.errors import PlacementError

_LOOPBACK = "127.0.0.1"
_TRIES = 2
_TOO_SLOW = "timed out during startup"
_API_KEY, _NO_API = "RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1"
"""Ray's variable with the address of its dashboard, and an address at which nobody listens."""


def start_own_ray(**options: Any) -> None:
    """Start Ray with `options` of `ray.init`; every server of Ray, torch and vLLM in it listens on loopback alone.

    Raises:
        PlacementError: Ray has not started within its 30 seconds, twice.

    """
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    interface = _loopback_interface()
    # torch and vLLM would ask the machine for its address; the actors inherit these variables
    for name, value in (
        ("GLOO_SOCKET_IFNAME", interface),
        ("NCCL_SOCKET_IFNAME", interface),
        ("VLLM_HOST_IP", _LOOPBACK),
    ):
        os.environ.setdefault(name, value)
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # it says that it asks for a token
    # Ray's switch for machines that are no cluster; `ray.init` offers no other way to an address of 127.0.0.1
    ray_constants.ENABLE_RAY_CLUSTER = False
    start_reaper()  # parts of Ray take longer than we promise to see that we are gone
    for tries_left in reversed(range(_TRIES)):
        before = set(_children())
        try:
            with _without_foreign_dashboard() if options.get("include_dashboard") is False else nullcontext():
                ray.init(address="local", **options)
            return
        except Exception as error:
            if _TOO_SLOW not in str(error):
                raise
            for child in set(_children()) - before:
                child.kill()
            if not tries_left:
                fix = "stop other work on this machine, or look at /tmp/ray/session_latest/logs"
                raise PlacementError("Ray did not start on this machine", tries=_TRIES, fix=fix) from error


@contextmanager
def _without_foreign_dashboard() -> Iterator[None]:
    """Keep the processes of a Ray that starts in the block from the dashboard of another Ray on this machine.

    A Ray without a dashboard names the usual port as its own. Ray Train asks there every second whether its run is
    alive. The dashboard of another Ray knows nothing of the run, and Ray Train would then take its resources away.
    """
    before = os.environ.get(_API_KEY)
    os.environ[_API_KEY] = _NO_API
    try:
        yield
    finally:
        os.environ.pop(_API_KEY)
        if before is not None:
            os.environ[_API_KEY] = before


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _loopback_interface() -> str:
    """The name of the network interface that has 127.0.0.1, which is `lo` on Linux."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.family is socket.AF_INET and address.address == _LOOPBACK for address in addresses):
            return name
    return "lo"
