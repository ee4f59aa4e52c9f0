"""A command of `vlaa-ray` as a Ray job: the working folder is sent there, the log and the exit code come back."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.config.base_folder import BASE_FOLDER
from vlaa_ray.errors import ConfigError, PlacementError
from vlaa_ray.services.secret import SECRETS, Reference

_ACCEPT_DEADLINE_S = 60.0
_RUN = "run"
"""The key of the run in a job's metadata, which everyone with the cluster's token can read."""
_EXCLUDES = [
    ".git",
    ".venv",
    ".venv-*",
    "runs",
    "wandb",
    "**/__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
]


def submit(
    address: str | None,
    args: list[str],
    working_dir: Path,
    wait: bool,
    secrets: Sequence[Reference] = (),
    run: str = "",
) -> int:
    """Submit the command and return the job's exit code; with `wait` False return 0 when the job is accepted.

    The project need not be installed on the cluster. A relative `run.dir` is made in `working_dir` itself, so that a
    job that is submitted again continues its run. Relative paths of data and models that were not uploaded are found
    there, too. Of `secrets` only the references are sent. `run` is the folder or the address of the job's run, for
    `run_of_job`.

    Raises:
        PlacementError: the cluster can't be reached or does not accept the job.

    """
    from ray.job_submission import JobStatus

    client = _client(address)
    environment = {BASE_FOLDER: str(working_dir.resolve())}
    if secrets:
        environment[SECRETS] = ",".join(map(str, secrets))
    job = _accepted(
        client,
        entrypoint=f"python -m vlaa_ray {shlex.join(args)}",
        runtime_env={
            "working_dir": str(working_dir.resolve()),
            "excludes": _EXCLUDES,
            "env_vars": environment,
        },
        metadata={_RUN: run} if run else {},
    )
    sys.stdout.write(f"job {job}: ray job logs --follow {job}; vlaa-ray status {job}\n")
    if not wait:
        return 0
    asyncio.run(_follow(client, job))
    status, info = client.get_job_status(job), client.get_job_info(job)
    if status == JobStatus.SUCCEEDED:
        return 0
    return info.driver_exit_code or 1


def run_of_job(address: str | None, job: str) -> str:
    """Return the folder or the address of the run that a job was submitted for.

    Raises:
        PlacementError: the cluster can't be reached.
        ConfigError: there is no such job, or its run was not known when it was submitted.

    """
    client = _client(address)
    try:
        metadata = client.get_job_info(job).metadata or {}
    except RuntimeError as error:
        raise ConfigError(f"the cluster has no job {job}", fix="see `ray job list`") from error
    if not metadata.get(_RUN):
        message = "it is not known to which run the job belongs"
        raise ConfigError(message, job=job, fix="name the run's folder or its address in a bucket")
    return str(metadata[_RUN])


def _client(address: str | None) -> Any:
    from ray.job_submission import JobSubmissionClient

    from actors.process.causes import UNREACHABLE, unreachable

    try:
        return JobSubmissionClient(address)
    except UNREACHABLE as error:
        raise unreachable(error, address, "http://HOST:8265") from error


def _accepted(client: Any, **job: Any) -> str:
    """Submit the job and return its id; a new head node needs some seconds before it accepts jobs."""
    deadline = time.monotonic() + _ACCEPT_DEADLINE_S
    while True:
        try:
            return str(client.submit_job(**job))
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                cause = (str(error).strip().splitlines() or [repr(error)])[-1]
                fix = "look at the dashboard: is the head node up, and does it have room?"
                raise PlacementError(f"the cluster doesn't accept the job: {cause}", fix=fix) from error
            time.sleep(1)


async def _follow(client: object, job: str) -> None:
    async for text in client.tail_job_logs(job):  # type: ignore[attr-defined]
        sys.stdout.write(text)
        sys.stdout.flush()
