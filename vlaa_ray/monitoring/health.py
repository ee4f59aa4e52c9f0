"""What a run is doing right now, for live metrics: the table of these names, and the part that the run itself knows.

These values are no part of `metrics.jsonl`. The fleet adds those of its actors.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from vlaa_ray.monitoring.names import ALL, GRPO, Metric
from vlaa_ray.storage.layout import CHECKPOINTS

Values = dict[str, float]
"""Values by their names in the table."""
PHASES = ("start", "rollout", "reward", "learn", "weight sync", "eval", "checkpoint")
STATES = ("asked", "starting", "serving", "leaving")
CAUSES = ("died", "hung", "failed", "announced")
"""Why an actor was lost: its process died, it did not answer in time, it was of no use any more, or its node left."""
_SHM = "/dev/shm"

HEALTH: tuple[Metric, ...] = (
    Metric("phase/{phase}", "", "1 for the phase that the run is in, 0 for the others", ALL),
    Metric("phase_age_s", "s", "time in the present phase", ALL),
    Metric("step_age_s", "s", "time since the last step was logged, or since the start", ALL),
    Metric("checkpoint_age_s", "s", "time since the newest checkpoint was written, or since the start",
           ALL, better="lower"),
    Metric("steps_planned", "steps", "steps that the run is planned to do", ALL),
    Metric("goodput", "share", "share of the time since the start that done steps took, without evaluation and "
           "checkpoints", GRPO, better="higher"),
    Metric("group_size", "samples", "samples of a prompt", GRPO),
    Metric("limit/{metric}", "", "limit of a metric, beyond which the run reports a problem", GRPO,
           when="the config or the dtype sets one"),
    Metric("disk/{place}/free_share", "share", "free share of a disk of the driver's node: run_folder, shared_memory",
           ALL, better="higher"),
    Metric("replicas/{role}/{state}", "actors", "actors of a pool by state: asked (waits for a place), starting, "
           "serving, leaving", GRPO),
    Metric("queue/{role}", "calls", "calls of a pool that wait for an actor or are being answered", GRPO),
    Metric("losses/{role}/{cause}", "actors", "actors lost so far, by cause: died, hung, failed (of no use any more), "
           "announced (its node left)", GRPO, better="lower"),
    Metric("service/{service}/failing_s", "s", "time for which a service, such as the judge or a teacher, has not "
           "answered any more; 0 while it answers", GRPO, when="the process asks one", better="lower"),
)  # fmt: skip


class RunHealth:
    """The health of a run as the process that shows it knows it; `folder` is the run's folder."""

    def __init__(
        self, folder: Path, num_steps: int | None, group_size: int | None, limits: Mapping[str, float]
    ) -> None:
        self._folder, self._group_size, self._limits = folder, group_size, limits
        self.num_steps = num_steps
        self._started = self._phase_since = self._last_step = time.monotonic()
        self._phase, self._busy_s, self._has_times = PHASES[0], 0.0, False

    def phase(self, name: str) -> None:
        """Record that this phase begins now; it may be the same as that of the step before."""
        self._phase, self._phase_since = name, time.monotonic()

    def step(self, metrics: Mapping[str, float]) -> None:
        """Record that a step was logged."""
        self._last_step = time.monotonic()
        if "time/step_s" in metrics:
            self._has_times = True
            other = sum(metrics.get(f"time/{part}_s") or 0.0 for part in ("eval", "checkpoint"))
            self._busy_s += max(0.0, metrics["time/step_s"] - other)

    def values(self) -> Values:
        """Return the values of now."""
        now = time.monotonic()
        values = {f"phase/{phase.replace(' ', '_')}": float(phase == self._phase) for phase in PHASES}
        values |= {
            "phase_age_s": now - self._phase_since,
            "step_age_s": now - self._last_step,
            "checkpoint_age_s": min(now - self._started, self._checkpoint_age_s()),
            **{f"limit/{name}": limit for name, limit in self._limits.items()},
            **{f"disk/{place}/free_share": share for place, share in self._free().items()},
        }
        if self.num_steps is not None:
            values["steps_planned"] = self.num_steps
        if self._group_size is not None:
            values["group_size"] = self._group_size
        if self._has_times:
            values["goodput"] = self._busy_s / max(now - self._started, 1e-9)
        return values

    def _checkpoint_age_s(self) -> float:
        folder = self._folder / CHECKPOINTS
        times = [path.stat().st_mtime for path in folder.glob("step_*")] if folder.is_dir() else []
        return time.time() - max(times) if times else float("inf")

    def _free(self) -> dict[str, float]:
        places = {"run_folder": self._folder, "shared_memory": Path(_SHM)}
        shares = {}
        for place, path in places.items():
            with contextlib.suppress(OSError):  # it is not there, or it does not answer
                usage = shutil.disk_usage(path)
                shares[place] = usage.free / usage.total
        return shares
