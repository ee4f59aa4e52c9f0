"""Seconds of the parts of a step."""

from __future__ import annotations

import time

from vlaa_ray.roles import Metrics


class StepClock:
    """Seconds of each part of a step."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._laps: Metrics = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._laps[name] = now - self._last
        self._last = now

    def metrics(self, num_samples: int) -> Metrics:
        total = time.monotonic() - self._start
        return self._laps | {"time/step_s": total, "throughput/samples_per_s": num_samples / total}
