"""The addresses of a curation's teachers; a server is started for each teacher without an address."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from pydantic import SecretStr

from actors.serving.vllm_server import START_S, VllmServer
from vlaa_ray.config import SCRIPTED, CurationConfig, TeacherSection
from vlaa_ray.curation.scripted import ScriptedTeacher
from vlaa_ray.curation.teacher_client import SERVED_KEY
from vlaa_ray.errors import PlacementError

_GRACE_S = 60.0


@contextlib.contextmanager
def served(config: CurationConfig, folder: Path, note: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Yield {name of the teacher: its address}; servers that were started here end with the block.

    Servers that are started here ask for a key that is made for this run. The key is in the environment of this process
    until the block ends.

    Raises:
        PlacementError: no node has room for a server.
        TeacherError: a server does not start.

    """
    with contextlib.ExitStack() as stack:
        os.environ[SERVED_KEY] = secrets.token_urlsafe()
        stack.callback(os.environ.pop, SERVED_KEY, None)
        yield {name: stack.enter_context(_served_teacher(config, name, folder, note)) for name in config.used_teachers}


@contextlib.contextmanager
def _served_teacher(config: CurationConfig, name: str, folder: Path, note: Callable[[str], None]) -> Iterator[str]:
    teacher = config.teachers[name]
    if teacher.url == SCRIPTED:
        scripted = ScriptedTeacher()
        try:
            yield scripted.url
        finally:
            scripted.close()
    elif teacher.url:
        yield teacher.url
    else:
        note(f"Starting a vLLM server for {teacher.model}, the teacher {name!r}")
        log_file = str((folder / "logs" / f"vllm_{name}.log").resolve())
        wanted = _bundle(teacher)
        server: Any = ray.remote(VllmServer).options(num_cpus=wanted["CPU"], num_gpus=wanted["GPU"]).remote(log_file)
        try:
            yield _address(server, teacher)
        finally:
            ray.kill(server)


def _address(server: Any, teacher: TeacherSection) -> str:
    own = (SecretStr(os.environ[SERVED_KEY]), ray.get_runtime_context().get_node_id())
    try:
        return str(ray.get(server.start.remote(teacher, *own), timeout=START_S + _GRACE_S))
    except ray.exceptions.GetTimeoutError:
        facts = {"needed": _bundle(teacher), "free": ray.available_resources()}
        fix = "add nodes, end other jobs, or give the teacher a url"
        message = f"no vLLM server for {teacher.model!r} started within {START_S:g} s"
        raise PlacementError(message, **facts, fix=fix) from None


def _bundle(teacher: TeacherSection) -> dict[str, float]:
    return {"CPU": 1.0, "GPU": float(teacher.gpus)}
