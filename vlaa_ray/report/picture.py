"""All of a run's curves in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlaa_ray.report.curves import INK, RC, charts_of, draw
from vlaa_ray.report.timing import PHASES, draw_phases
from vlaa_ray.run.reader import RecordedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves_png(run_dir: Path, path: Path) -> Path:
    """Writes every chart that has data into one PNG on white, and gives its path back."""
    import matplotlib
    from matplotlib.figure import Figure

    run = RecordedRun.read(run_dir)
    charts, _ = charts_of(run)
    timed = any(name in run.names() for _, name in PHASES)
    columns = 3
    rows = max(1, -(-(len(charts) + timed) // columns))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(5.2 * columns, 3.2 * rows), layout="constrained", dpi=110)
        cells = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, chart in zip(cells, charts, strict=False):
            draw(axes, run, chart)
            _title(axes, chart.title)
        if timed:
            draw_phases(cells[len(charts)], run)
            _title(cells[len(charts)], "Time per step")
        for axes in cells[len(charts) + timed :]:
            axes.set_axis_off()
        if not charts and not timed:
            cells[0].text(0, 0.5, "No metrics in this run yet.", color=INK)
        figure.savefig(Path(path), format="png")
    return Path(path)


def _title(axes: Axes, text: str) -> None:
    """The chart's name, above the rows of its legend."""
    legend = axes.get_legend()
    num_rows = -(-len(legend.get_texts()) // 3) if legend else 0
    axes.set_title(text, loc="left", fontsize=10, fontweight="bold", pad=8 + 13 * num_rows)
