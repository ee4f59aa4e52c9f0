"""How busy each role was: over the whole run, and along the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlaa_ray.report.curves import COLORS, INK, finish
from vlaa_ray.run.reader import RecordedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BUSY = {
    "rollout": ("time/rollout_s", "time/weight_sync_s", "time/eval_s"),
    "reward": ("time/reward_s",),
    "learner": ("time/learn_s", "time/weight_sync_s", "time/checkpoint_s"),
}
"""The metrics that make up the busy time of a role in a step."""
_MOST_BARS = 150
_LANE = 0.8


@dataclass(frozen=True)
class RoleTime:
    """The busy seconds of a role over the whole run, and the share of the run's steps in which it was idle."""

    role: str
    busy_s: float
    idle_share: float


def busy_s(row: dict[str, float], role: str) -> float | None:
    """Return the busy seconds of a role in one step, at most the whole step; None if nothing of it was logged.

    A reward actor that scores several groups at once adds up their times, so its sum can be longer than the step.
    """
    times = [row[name] for name in BUSY[role] if name in row]
    return min(sum(times), row["time/step_s"]) if times else None


def role_times(run: RecordedRun) -> list[RoleTime]:
    """Return the roles of which the run has logged times; [] for a run that logs no `time/step_s`."""
    return [_total(rows, role) for role, rows in _rows_by_role(run).items()]


def draw_roles(axes: Axes, run: RecordedRun) -> None:
    """Draw one lane for each role along the clock, in minutes: the height of a bar is the busy share of a step.

    A bar of a long run is several steps together.
    """
    by_role = _rows_by_role(run)
    labels = []
    for lane, (role, rows) in enumerate(by_role.items()):
        size = -(-len(rows) // _MOST_BARS)
        parts = [_total(rows[start : start + size], role) for start in range(0, len(rows), size)]
        widths = [_seconds(rows[start : start + size]) / 60 for start in range(0, len(rows), size)]
        starts = [sum(widths[:at]) for at in range(len(widths))]
        heights = [_LANE * (1 - part.idle_share) for part in parts]
        floor = -lane - _LANE / 2
        axes.bar(starts, _LANE, widths, bottom=floor, align="edge", color=INK, alpha=0.06, linewidth=0)
        axes.bar(starts, heights, widths, bottom=floor, align="edge", color=COLORS[lane], linewidth=0)
        labels.append(f"{role}\nidle {_total(rows, role).idle_share:.0%}")
    axes.set_yticks([-lane for lane in range(len(labels))], labels)
    finish(axes, "", legend=False, x="minutes of steps since the start")
    axes.tick_params(axis="y", length=0, colors=INK)


def _rows_by_role(run: RecordedRun) -> dict[str, list[dict[str, float]]]:
    """Return the steps that were timed, for each role that has a time in one of them."""
    rows = [row for row in run.metrics if row.get("time/step_s", 0.0) > 0]
    return {role: rows for role in BUSY if any(busy_s(row, role) is not None for row in rows)}


def _total(rows: list[dict[str, float]], role: str) -> RoleTime:
    busy = sum(busy_s(row, role) or 0.0 for row in rows)
    return RoleTime(role, busy, 1 - busy / _seconds(rows))


def _seconds(rows: list[dict[str, float]]) -> float:
    return sum(row["time/step_s"] for row in rows)
