"""The charts of an experiment's page: curves of GRPO by arm, and changes against the base arm with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vlaa_ray.report.curves import COLORS, INK, figure_svg, finish, smoothed, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arms = Mapping[str, Mapping[str, Any]]
CURVES = (
    ("reward", "Reward in training", "reward"),
    ("tokens", "Completion length", "tokens"),
    ("reflections", "Reflection phrases", "phrases in 100 completions"),
)
_STYLES = ("-", "--", "-.", ":")
_SMOOTHED_FROM_STEPS = 20


def curve_charts(arms: Arms) -> list[tuple[str, str]]:
    """Return (title, svg) of each curve that some arm has: the mean over seeds, and a faint line for each seed."""
    charts = []
    for key, title, unit in CURVES:
        series = {name: _by_seed(arm, key) for name, arm in arms.items()}
        drawn = {name: curves for name, curves in series.items() if curves}
        if drawn:
            charts.append((title, _curve_chart(key, title, unit, drawn, list(arms))))
    return charts


def _by_seed(arm: Mapping[str, Any], key: str) -> list[list[tuple[int, float]]]:
    curves = [seed[key] for seed in arm["curves"].values()]
    return [[(int(step), float(value)) for step, value in curve] for curve in curves if curve]


def _curve_chart(
    key: str, title: str, unit: str, series: Mapping[str, list[list[tuple[int, float]]]], names: Sequence[str]
) -> str:
    def paint(axes: Axes) -> None:
        for name, curves in series.items():
            look = _look(names.index(name))
            for curve in curves if len(curves) > 1 else ():
                steps, values = zip(*thinned(curve), strict=True)
                axes.plot(steps, values, color=look["color"], linewidth=0.7, alpha=0.35)
            steps, values = zip(*thinned(mean_curve(curves)), strict=True)
            window = len(steps) // 15 if len(steps) >= _SMOOTHED_FROM_STEPS else 1
            axes.plot(steps, smoothed(values, max(1, window)), label=name, linewidth=1.8, **look)
        finish(axes, unit, legend=True)

    spoken = "; ".join(_spoken(name, mean_curve(curves)) for name, curves in series.items())
    return figure_svg(f"experiment-{key}", f"{title}. {spoken}", paint, size=(5.2, 3.2))


def mean_curve(curves: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Return the mean over the curves at each step that all of them have."""
    by_step = [dict(curve) for curve in curves]
    common = sorted(set.intersection(*(set(curve) for curve in by_step)))
    return [(step, statistics.fmean(curve[step] for curve in by_step)) for step in common]


def _spoken(name: str, curve: Sequence[tuple[int, float]]) -> str:
    if not curve:
        return f"{name}: no step yet"
    (first, start), (last, end) = curve[0], curve[-1]
    return f"{name}: {start:.3g} at step {first}, {end:.3g} at step {last}"


def _look(number: int) -> dict[str, Any]:
    return {"color": COLORS[number % len(COLORS)], "linestyle": _STYLES[number // len(COLORS) % len(_STYLES)]}


def change_chart(arms: Arms, columns: Sequence[str]) -> str:
    """Return the relative changes against the base arms by column and arm, with their 95% intervals."""
    width = 0.8 / max(len(arms), 1)

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        for number, (name, arm) in enumerate(arms.items()):
            known = [(place, arm["relative_change"].get(column)) for place, column in enumerate(columns)]
            places = [place + width * (number - (len(arms) - 1) / 2) for place, change in known if change]
            changes = [change for _, change in known if change]
            values = [change["value"] for change in changes]
            color = COLORS[number % len(COLORS)]
            axes.bar(places, values, width=0.9 * width, color=color, label=name)
            bounded = [(at, change) for at, change in zip(places, changes, strict=True) if change["low"] is not None]
            for at, change in bounded:
                axes.plot([at, at], [change["low"], change["high"]], color=INK, linewidth=1.0)
        axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right")
        axes.set_ylabel("change in %")
        axes.grid(alpha=0.15, axis="y", color=INK, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, borderaxespad=0.2)

    spoken = "; ".join(_changes(name, arm, columns) for name, arm in arms.items())
    return figure_svg("experiment-change", f"Relative change. {spoken}", paint, size=(8.0, 3.2))


def _changes(name: str, arm: Mapping[str, Any], columns: Sequence[str]) -> str:
    found = [(column, arm["relative_change"].get(column)) for column in columns]
    return f"{name}: " + ", ".join(f"{column} {change['value']:+.0f} %" for column, change in found if change)
