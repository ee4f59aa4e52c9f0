"""A command of `vlaa-ray` as a Ray job: the working folder goes there, the log and the exit code come back."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

from vlaa_ray.errors import PlacementError

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


def submit(address: str | None, args: list[str], working_dir: Path, wait: bool) -> int:
    """The job's exit code (0 with `wait` False, once it is accepted). The project needn't be installed over there."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        raise PlacementError(
            f"can't reach a Ray cluster: {str(error).splitlines()[0]}",
            address=address,
            fix="start one with `ray start --head`, or give --address http://HOST:8265 (and RAY_AUTH_TOKEN)",
        ) from error
    job = client.submit_job(
        entrypoint=f"python -m vlaa_ray {shlex.join(args)}",
        runtime_env={"working_dir": str(working_dir.resolve()), "excludes": _EXCLUDES},
    )
    sys.stdout.write(f"job {job}: ray job logs --follow {job}\n")
    if not wait:
        return 0
    asyncio.run(_follow(client, job))
    status, info = client.get_job_status(job), client.get_job_info(job)
    if status == JobStatus.SUCCEEDED:
        return 0
    return info.driver_exit_code or 1


async def _follow(client: object, job: str) -> None:
    async for text in client.tail_job_logs(job):  # type: ignore[attr-defined]
        sys.stdout.write(text)
        sys.stdout.flush()
