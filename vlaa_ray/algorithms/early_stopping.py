"""The end of a run whose held-out loss no longer falls.

The loss of an evaluation is lower if it is below the lowest one so far by more than `min_delta`. After `patience`
evaluations in a row that were not lower, the run is over. (This is the rule of Keras' EarlyStopping.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class EarlyStopping:
    """What has been seen of the held-out loss. Without settings the run is never over.

    `settings` are the patience and the smallest difference. `state` is what `state` returned before a resume.
    """

    def __init__(self, settings: Mapping[str, float] | None, state: Mapping[str, Any] | None = None) -> None:
        self._settings = dict(settings) if settings else None
        known = state or {}
        self.lowest: float | None = known.get("lowest")
        """The lowest held-out loss, in nats for each token; None before the first evaluation."""
        self.lowest_step: int | None = known.get("lowest_step")
        """The step of that evaluation."""
        self.num_waited = int(known.get("num_waited", 0))
        """The number of evaluations since then."""

    @property
    def is_over(self) -> bool:
        """True if the run ends now."""
        return self._settings is not None and self.num_waited >= self._settings["patience"]

    def observe(self, step: int, loss: float | None) -> None:
        """Take the loss of an evaluation; None, where no held-out answer could be used, changes nothing."""
        if self._settings is None or loss is None:
            return
        is_lower = self.lowest is None or loss < self.lowest - self._settings["min_delta"]
        if is_lower and math.isfinite(loss):
            self.lowest, self.lowest_step, self.num_waited = loss, step, 0
        else:
            self.num_waited += 1

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, in JSON's types."""
        return {"lowest": self.lowest, "lowest_step": self.lowest_step, "num_waited": self.num_waited}

    def reason(self) -> str:
        """Return in words why the run is over."""
        lowest = "" if self.lowest is None else f"; it was lowest at step {self.lowest_step}: {self.lowest:.4g}"
        return f"the held-out loss was not lower in {self.num_waited} evaluations{lowest}"
