"""Several runs on one page: their curves over each other, their results, and in what their configs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.report.config_changes import differences
from vlaa_ray.report.curves import CHARTS, COLORS, Chart, chart_svg
from vlaa_ray.report.headline import Comparison, headline, number
from vlaa_ray.report.html import safe, write_page
from vlaa_ray.run.reader import RecordedRun

_NOT_TOLD = ("run.name", "run.dir")
"""Keys that differ between any two runs."""


@dataclass(frozen=True)
class _Line:
    """A run in the table of results."""

    label: str
    state: str
    last_step: int | None
    result: Comparison | None


def write_runs_page(runs: Sequence[RecordedRun], out: Path) -> Path:
    """Write the page and return its path. A run is called by its name, or by its folder where names are the same.

    Raises:
        VlaaRayError: there are more runs than colours.

    """
    if len(runs) > len(COLORS):
        raise VlaaRayError(f"at most {len(COLORS)} runs can be told apart on one page", got=len(runs))
    labels = _labels(runs)
    together = _together(runs, labels)
    charts = [overlaid for chart in CHARTS if (overlaid := _overlaid(chart, together, labels)) is not None]
    rows = differences([run.config for run in runs])
    content = {
        "labels": labels,
        "lines": [_line(run, label) for run, label in zip(runs, labels, strict=True)],
        "colors": COLORS,
        "charts": [(chart, safe(chart_svg(together, chart))) for chart in charts],
        "differences": [(key, values) for key, values in rows if key not in _NOT_TOLD],
        "remarks": [(label, remark) for run, label in zip(runs, labels, strict=True) for remark in run.remarks],
    }
    return write_page(out, "runs.html.jinja", content, {"number": number})


def _labels(runs: Sequence[RecordedRun]) -> list[str]:
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [str(run.path) for run in runs]


def _together(runs: Sequence[RecordedRun], labels: Sequence[str]) -> RecordedRun:
    """Return one run that has the metrics of all, each under the run's label and its name."""
    rows = [
        {"step": row["step"], **{f"{label}/{name}": value for name, value in row.items() if name != "step"}}
        for run, label in zip(runs, labels, strict=True)
        for row in run.metrics
    ]
    return RecordedRun(runs[0].path, rows, {}, {}, ())


def _overlaid(chart: Chart, together: RecordedRun, labels: Sequence[str]) -> Chart | None:
    """Return the chart with the main curve of each run, in a colour of its own; None if no run has it."""
    metric = chart.curves[0][1] if chart.curves else ""
    # numbers, as in the table: names are too long for a legend
    curves = tuple((str(place), f"{label}/{metric}") for place, label in enumerate(labels, start=1))
    if not metric or not any(name in together.names() for _, name in curves):
        return None
    name = chart.curves[0][0]
    title = f"{chart.title}: {name}" if name not in ("", "mean") else chart.title
    return replace(chart, title=title, curves=curves, by_type="", note="")


def _line(run: RecordedRun, label: str) -> _Line:
    lines: Any = headline(run).lines
    return _Line(label, str(run.state.get("state", "unknown")), run.last_step, lines[0] if lines else None)
