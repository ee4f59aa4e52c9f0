"""The time of a run by phase: in each step, over the whole run, and along the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlaa_ray.report.curves import COLORS, INK, finish
from vlaa_ray.run.reader import RecordedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PHASES = (
    ("rollout", "time/rollout_s"),
    ("learn", "time/learn_s"),
    ("weight sync", "time/weight_sync_s"),
    ("eval", "time/eval_s"),
    ("checkpoint", "time/checkpoint_s"),
)
OTHER = "other"
_MAX_BARS = 150


@dataclass(frozen=True)
class Share:
    """A phase's seconds over the whole run, and their share of the run's steps."""

    phase: str
    seconds: float
    share: float


def phases_of(row: dict[str, float]) -> dict[str, float]:
    """Return the seconds of each phase of one step; `other` is the rest of `time/step_s`."""
    times = {phase: row[name] for phase, name in PHASES if name in row}
    rest = row.get("time/step_s", 0.0) - sum(times.values())
    return {**times, OTHER: rest} if rest > 0 else times


def totals(run: RecordedRun) -> tuple[list[Share], float]:
    """Return the phases with their total seconds, the largest first, and the seconds of all steps."""
    steps = [phases_of(row) for row in run.metrics]
    seconds = {phase: sum(step.get(phase, 0.0) for step in steps) for phase in (*(p for p, _ in PHASES), OTHER)}
    whole = sum(_length(row) for row in run.metrics)
    shares = [Share(phase, spent, spent / whole) for phase, spent in seconds.items() if spent > 0 and whole > 0]
    return sorted(shares, key=lambda share: -share.seconds), whole


def _length(row: dict[str, float]) -> float:
    """Return the seconds of a step: its own figure, or the sum of its phases."""
    return row.get("time/step_s") or sum(row.get(name, 0.0) for _, name in PHASES)


def phase_colors() -> dict[str, str]:
    """Return the fixed colour of every phase."""
    return {**dict(zip((phase for phase, _ in PHASES), COLORS, strict=False)), OTHER: "#9aa0a6"}


def draw_phases(axes: Axes, run: RecordedRun) -> None:
    """Draw a bar for each step, or for each mean of a few steps in a long run: its seconds, stacked by phase."""
    size = -(-len(run.metrics) // _MAX_BARS)
    bins = [run.metrics[start : start + size] for start in range(0, len(run.metrics), max(1, size))]
    steps = [part[0]["step"] for part in bins]
    bottom = [0.0] * len(bins)
    for phase, color in phase_colors().items():
        heights = [sum(phases_of(row).get(phase, 0.0) for row in part) / len(part) for part in bins]
        if any(heights):
            axes.bar(steps, heights, bottom=bottom, width=size, color=color, label=phase, align="edge")
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    finish(axes, "seconds", legend=True)


def draw_timeline(axes: Axes, run: RecordedRun) -> None:
    """Draw when each phase ran, in minutes since the start: one lane for each phase."""
    lanes: dict[str, list[tuple[float, float]]] = {}
    clock = 0.0
    for row in run.metrics:
        phases, length = phases_of(row), _length(row)
        fit = min(1.0, length / (sum(phases.values()) or 1.0))
        at = clock
        for phase, seconds in phases.items():
            lanes.setdefault(phase, []).append((at / 60, seconds * fit / 60))
            at += seconds * fit
        clock += length
    order = [phase for phase in (*(name for name, _ in PHASES), OTHER) if phase in lanes]
    colors = phase_colors()
    for lane, phase in enumerate(order):
        axes.broken_barh(_merged(lanes[phase], clock / 60 / 600), (lane - 0.4, 0.8), color=colors[phase], linewidth=0)
    axes.set_yticks(range(len(order)), order)
    axes.invert_yaxis()
    finish(axes, "", legend=False, x="minutes since the start")
    axes.tick_params(axis="y", length=0, colors=INK)


def _merged(bars: list[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Return the bars (start, width), joined where the gap is too small to see: the file of a long run stays small."""
    merged: list[tuple[float, float]] = []
    for start, width in bars:
        if merged and start - sum(merged[-1]) < gap:
            merged[-1] = (merged[-1][0], start + width - merged[-1][0])
        else:
            merged.append((start, width))
    return merged
