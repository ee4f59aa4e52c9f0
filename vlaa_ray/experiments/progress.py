"""How far the jobs are, and how long the rest takes: from the pace of running ones and from jobs of the same kind."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.experiments.jobs import Job
from vlaa_ray.experiments.order import Room, needs_of
from vlaa_ray.storage.metrics_file import read_metrics

State = Literal["waiting", "running", "finished", "failed", "skipped"]


@dataclass
class JobStates:
    """The state of every job, what is known about failures, and how long finished jobs took in this process."""

    states: dict[str, State]
    causes: dict[str, str] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> JobStates:
        """Return the states before anything is started: jobs that earlier processes finished, and waiting ones."""
        return cls({job.key: "finished" if job.finished() else "waiting" for job in jobs})

    def start(self, job: Job) -> None:
        """Note that the job runs from now on."""
        self.states[job.key] = "running"
        self.started[job.key] = time.monotonic()

    def end(self, job: Job, cause: str = "") -> None:
        """Note that the job ended: with a `cause` it failed."""
        self.states[job.key] = "failed" if cause else "finished"
        if cause:
            self.causes[job.key] = cause
        else:
            self.took_s[job.key] = time.monotonic() - self.started[job.key]

    def count(self, state: State) -> int:
        """Return the number of jobs in this state."""
        return sum(known == state for known in self.states.values())


def left_s(jobs: Mapping[str, Job], states: JobStates, room: Room) -> float | None:
    """Return the seconds until all jobs are done; None while the length of some job can't be told.

    A running job goes on at its own pace, or takes as long as a finished one of its kind. Jobs that take a part of the
    room run beside others.
    """
    total = 0.0
    for key, job in jobs.items():
        if states.states[key] not in ("waiting", "running"):
            continue
        seconds = _job_left_s(job, jobs, states)
        if seconds is None:
            return None
        cpus, gpus = needs_of(job)
        share = max(cpus / room.cpus, gpus / room.gpus if room.gpus else 0.0, 1 / room.runs)
        total += seconds * min(1.0, share)
    return total


def _job_left_s(job: Job, jobs: Mapping[str, Job], states: JobStates) -> float | None:
    running_s = time.monotonic() - states.started[job.key] if states.states[job.key] == "running" else 0.0
    if running_s and (own := _own_pace_left_s(job)) is not None:
        return own
    whole = _typical_s(job, jobs, states)
    return None if whole is None else max(0.0, whole - running_s)


def _own_pace_left_s(job: Job) -> float | None:
    """Return the seconds that a training run has left by the length of its last steps."""
    try:
        steps = [row for row in read_metrics(job.folder) if row["step"] > 0]
    except (VlaaRayError, OSError):
        return None
    times = [row["time/step_s"] for row in steps[-10:] if "time/step_s" in row]
    if not times or job.config.num_steps is None:
        return None
    return (job.config.num_steps - steps[-1]["step"]) * float(sum(times)) / len(times)


def _typical_s(job: Job, jobs: Mapping[str, Job], states: JobStates) -> float | None:
    """Return how long a job of this kind took, scaled by the tokens that it trains on; None if none is finished."""
    similar = [
        (seconds, jobs[key].config.max_tokens)
        for key, seconds in states.took_s.items()
        if jobs[key].config.command == job.config.command
    ]
    if not similar:
        return None
    tokens = sum(tokens for _, tokens in similar)
    seconds = sum(seconds for seconds, _ in similar)
    return seconds * job.config.max_tokens / tokens if tokens else seconds / len(similar)
