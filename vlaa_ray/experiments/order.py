"""The order of the jobs, and which of them may run at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vlaa_ray.experiments.jobs import Job
from vlaa_ray.planning.placement import plan


class Arm(Protocol):
    """What the order asks of an arm: the keys of its jobs by seed."""

    @property
    def stages(self) -> Mapping[int, Sequence[str]]:
        """The keys of the stages."""

    @property
    def evaluations(self) -> Mapping[int, str]:
        """The key of the evaluation."""


def in_order_of_answers(jobs: Mapping[str, Job], arms: Mapping[str, Arm], seeds: Sequence[int]) -> dict[str, Job]:
    """Return the jobs that the arms need so that the first comparison is complete soonest.

    Seeds come one after another. For each seed the arm comes next whose answer needs the fewest tokens beyond those of
    the arms before it; among equals the first in the config.
    """
    ordered: dict[str, Job] = {}

    def new(keys: Iterable[str]) -> list[str]:
        wanted: dict[str, None] = {}
        for key in keys:
            wanted |= dict.fromkeys([*reversed(jobs[key].needs), key])
        return [key for key in _after_needs(wanted, jobs) if key not in ordered]

    for seed in seeds:
        left = [arm for arm in arms.values() if seed in arm.evaluations]
        while left:
            chains = [new([*arm.stages[seed], arm.evaluations[seed]]) for arm in left]
            costs = [sum(jobs[key].config.max_tokens for key in chain) for chain in chains]
            first = costs.index(min(costs))
            ordered |= {key: jobs[key] for key in chains[first]}
            del left[first]
    return ordered


def _after_needs(keys: Iterable[str], jobs: Mapping[str, Job]) -> list[str]:
    """Return the keys, each after those that it needs."""
    done: dict[str, None] = {}

    def visit(key: str) -> None:
        if key not in done:
            for need in jobs[key].needs:
                visit(need)
            done[key] = None

    for key in keys:
        visit(key)
    return list(done)


@dataclass
class Room:
    """What runs may use at the same time, and what the running ones use.

    A run that asks for more than there is runs alone: Ray lets its roles take turns.
    """

    cpus: float
    gpus: int
    runs: int
    used: dict[str, tuple[float, int]] = field(default_factory=dict)

    def fits(self, job: Job) -> bool:
        """Return whether the job may start now."""
        if not self.used:
            return True
        cpus, gpus = needs_of(job)
        used_cpus = sum(used for used, _ in self.used.values())
        used_gpus = sum(used for _, used in self.used.values())
        return len(self.used) < self.runs and used_cpus + cpus <= self.cpus and used_gpus + gpus <= self.gpus

    def take(self, job: Job) -> None:
        """Count the job's resources as used."""
        self.used[job.key] = needs_of(job)

    def free(self, job: Job) -> None:
        """Count the job's resources as free."""
        del self.used[job.key]


def needs_of(job: Job) -> tuple[float, int]:
    """Return (CPUs, whole GPUs) of the job's processes; a run without processes of Ray takes one CPU."""
    placement = plan(job.config)
    return max(1.0, placement.total_cpus), max(placement.total_gpus, job.config.later_gpus)
