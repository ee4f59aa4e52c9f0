"""A clock for the parts of a step."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vlaa_ray.records import Group
from vlaa_ray.roles import Metrics


class StepClock:
    """A clock that starts with the step and measures the seconds of its parts."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._laps: Metrics = {}

    def lap(self, name: str) -> None:
        """Record the seconds since the last lap, or since the start, under the metric `name`."""
        now = time.monotonic()
        self._laps[name] = now - self._last
        self._last = now

    def share(self, name: str) -> float:
        """Return the share of a lap in the time since the start."""
        return self._laps[name] / max(time.monotonic() - self._start, 1e-9)

    def metrics(self, groups: Sequence[Group]) -> Metrics:
        """Return the laps, the whole step's seconds, and the groups' samples and completion tokens a second."""
        total = time.monotonic() - self._start
        lengths = [len(rollout.completion.token_ids) for group in groups for rollout in group.rollouts]
        metrics = self._laps | {"time/step_s": total, "throughput/samples_per_s": len(lengths) / total}
        if sampling := self._laps.get("time/rollout_s"):
            metrics["throughput/rollout_tokens_per_s"] = sum(lengths) / sampling
        return metrics
