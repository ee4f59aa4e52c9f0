"""The addresses of a curation's teachers; those that have none are started here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import ray

from actors.vllm_server import START_S, VllmServer
from vlaa_ray.config import SCRIPTED, CurationConfig
from vlaa_ray.curation.scripted import ScriptedTeacher

_GRACE_S = 60.0


@contextlib.contextmanager
def served(config: CurationConfig, folder: Path) -> Iterator[dict[str, str]]:
    """{name: address}; what was started ends with the context."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(_one(config, name, folder)) for name in config.teachers}


@contextlib.contextmanager
def _one(config: CurationConfig, name: str, folder: Path) -> Iterator[str]:
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
        options = {"num_cpus": 1, "num_gpus": teacher.gpus}
        log_file = str((folder / "logs" / f"vllm_{name}.log").resolve())
        server = ray.remote(VllmServer).options(**options).remote(log_file)
        try:
            yield ray.get(server.start.remote(teacher), timeout=START_S + _GRACE_S)
        finally:
            ray.kill(server)
