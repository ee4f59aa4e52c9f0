"""The limits of metrics beyond which a run reports a problem, without ending."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vlaa_ray.config.sections import Section

_MAX_FP32, _MEAN_BF16 = 1e-3, 0.05


class AlarmsSection(Section):
    """When the run says that engine and learner give the same tokens different logprobs; it goes on nevertheless."""

    max_logprob_diff: float | None = Field(None, gt=0)
    """Largest `logprob_diff/max_abs` without an alarm, in nats; null for 0.001 in fp32, where ten times less is usual,
    and for no limit in bf16, where single tokens differ by whole nats."""
    mean_logprob_diff: float | None = Field(None, gt=0)
    """Largest `logprob_diff/mean_abs` without an alarm, in nats; null for 0.05 in bf16, where rounding alone gives
    0.005 to 0.02, and for no limit in fp32. A null sets no limit where `max_staleness` > 0: stale rollouts differ by
    what was learned since."""

    def limits(self, dtype: Literal["fp32", "bf16"], *, stale: bool) -> dict[str, float]:
        """Return the largest value without an alarm by the metric's name; `stale` if rollouts may be stale."""
        largest, mean = self.max_logprob_diff, self.mean_logprob_diff
        if not stale and dtype == "fp32":
            largest = largest or _MAX_FP32
        elif not stale:
            mean = mean or _MEAN_BF16
        limits = {"logprob_diff/max_abs": largest, "logprob_diff/mean_abs": mean}
        return {name: limit for name, limit in limits.items() if limit is not None}
