"""The rewards of a run's last steps by verifier type and by data source, which the overall means hide."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from vlaa_ray.monitoring.names import sources_in, types_in
from vlaa_ray.records import NO_ANSWER
from vlaa_ray.run.reader import RecordedRun

_LAST_STEPS = 10


@dataclass(frozen=True)
class Line:
    """One line of the table: means over the last steps, None where nothing was logged.

    `invalid` and `no_answer` are shares of the samples, `flat` is the share of groups without variance. `why` names
    the reasons for missing answers. `seconds` is the scoring time a step.
    """

    name: str
    mean: float | None
    std: float | None
    invalid: float | None
    no_answer: float | None
    why: str
    flat: float | None
    seconds: float | None


@dataclass(frozen=True)
class Breakdown:
    """The lines by verifier type and by data source; `steps` names the steps that they cover, in words."""

    types: tuple[Line, ...]
    sources: tuple[Line, ...]
    steps: str


def breakdown(run: RecordedRun) -> Breakdown:
    """Return the lines of the last 10 steps that trained; there are no lines where no step did."""
    rows = [row for row in run.metrics if "reward/count" in row][-_LAST_STEPS:]
    names = {name for row in rows for name in row}
    first, last = (int(rows[0]["step"]), int(rows[-1]["step"])) if rows else (0, 0)
    return Breakdown(
        types=tuple(_line(rows, name, name) for name in types_in(names, "reward/{}/count")),
        sources=tuple(_line(rows, source, f"by_source/{source}") for source in sources_in(names)),
        steps=f"step {last}" if first == last else f"steps {first} to {last}",
    )


def _line(rows: list[dict[str, float]], name: str, key: str) -> Line:
    present = [row for row in rows if f"reward/{key}/count" in row]
    why = {
        reason: share
        for slug, reason in NO_ANSWER.items()
        # a step in which no answer is missing for this reason logs no share: the share is 0
        if (share := statistics.fmean(row.get(f"reward/{key}/no_answer/{slug}", 0.0) for row in present))
    }
    return Line(
        name=name,
        mean=mean_over(rows, f"reward/{key}/mean"),
        std=mean_over(rows, f"reward/{key}/std"),
        invalid=mean_over(rows, f"reward/{key}/invalid_share"),
        no_answer=None if key.startswith("by_source/") else sum(why.values()),
        why="; ".join(f"{share:.1%} {reason}" for reason, share in why.items()),
        flat=mean_over(rows, f"groups/{key}/zero_variance_share"),
        seconds=mean_over(rows, f"time/reward/{key}_s"),
    )


def mean_over(rows: list[dict[str, float]], name: str) -> float | None:
    """Return the mean of a metric over the rows that have it; None without any."""
    values = [row[name] for row in rows if name in row]
    return statistics.fmean(values) if values else None
