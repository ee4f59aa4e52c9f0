"""Metrics against their limits: one message each time that a metric goes beyond its limit."""

from __future__ import annotations

from collections.abc import Mapping


class Alarms:
    """The limits of a run's metrics, by name, and which of the metrics were beyond theirs in the last step."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._beyond: set[str] = set()

    def messages(self, step: int, metrics: Mapping[str, float]) -> list[str]:
        """Return a message for each metric that is beyond its limit and was within it in the step before."""
        beyond = {name for name, limit in self._limits.items() if name in metrics and not metrics[name] <= limit}
        new, self._beyond = sorted(beyond - self._beyond), beyond
        return [
            f"step {step}: {name} is {metrics[name]:.3g}, above its limit of {self._limits[name]:.3g}: engine and "
            "learner disagree on the tokens that are learned from; compare model.dtype, weight sync and library "
            "versions, or raise the limit in `alarms`"
            for name in new
        ]
