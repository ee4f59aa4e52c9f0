"""The curves of a run, as charts.

Ink (text, axes, the main line) is drawn in a colour that nothing else has, and becomes `currentColor` in the SVG.
So the same chart can be read on a light and on a dark page.
"""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlaa_ray.monitoring.names import Kind, describe, sources_in, types_in
from vlaa_ray.run.reader import RecordedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"
COLORS = ("#3f8fd6", "#d4722a", "#2f9e77", "#c45fa0", "#8f7fe0", "#ab8200", "#d2575a")
"""The colours of curves; each has a contrast of at least 3:1 with white and with the page's dark background."""
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_MAX_POINTS = 500
_SMOOTHED_FROM_STEPS = 20

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Chart:
    """One chart: its curves are (label, metric name); a label of "" is drawn in ink, the others in colours.

    `by_type` is a metric name with {} for the verifier type: one more curve for each type that a run has.
    """

    key: str
    title: str
    unit: str
    curves: tuple[tuple[str, str], ...] = ()
    by_type: str = ""
    log: bool = False
    markers: bool = False
    smooth: bool = False
    scale: float = 1.0
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the chart's metrics; for a metric by verifier type, the name for one type stands for all."""
        return (*(name for _, name in self.curves), *((self.by_type.format("iou"),) if self.by_type else ()))

    def with_types(self, names: list[str]) -> Chart:
        """Return the chart with a curve for each verifier type in the names of a run's metrics."""
        if not self.by_type:
            return self
        curves = [(name, self.by_type.format(name)) for name in types_in(names, self.by_type)]
        return replace(self, curves=(*self.curves, *curves))

    @property
    def remark(self) -> str:
        """The note, and the direction of improvement where all metrics of the chart have the same."""
        directions = {describe(name).better for name in self.names}
        (direction,) = directions if len(directions) == 1 else ("",)
        return f"{self.note} {direction.capitalize()} is better.".strip() if direction else self.note


CHARTS = (
    Chart("reward", "Reward in training", "reward", (("", "reward/mean"),), smooth=True),
    Chart("types", "Reward in training by verifier type", "reward", by_type="reward/{}/mean", smooth=True),
    Chart(
        "eval",
        "Held-out reward",
        "reward",
        (("mean", "eval/reward/mean"),),
        by_type="eval/reward/{}/mean",
        markers=True,
        note="Step 0 is the base model.",
    ),
    Chart("heldout_loss", "Held-out loss", "nats per token", (("", "eval/loss"),), markers=True),
    Chart(
        "accuracy",
        "Pairs ranked correctly",
        "share",
        (("held-out", "eval/pairs/accuracy"), ("training", "pairs/accuracy")),
        smooth=True,
    ),
    Chart(
        "margin",
        "Score margin of pairs",
        "score",
        (("held-out", "eval/pairs/margin"), ("training", "pairs/margin")),
        smooth=True,
    ),
    Chart("dropped", "Samples that could not be trained on", "samples", (("", "samples/dropped"),)),
    Chart("kl", "KL from the reference", "nats", (("", "policy/kl"),)),
    Chart("entropy", "Entropy of the policy", "nats per token", (("", "policy/entropy"),)),
    Chart(
        "length",
        "Completion length",
        "tokens",
        (("mean", "completion/mean_tokens"),),
        by_type="completion/{}/mean_tokens",
        smooth=True,
    ),
    Chart(
        "clip",
        "Clipped tokens",
        "share",
        (("", "policy/clip_share"), ("low", "policy/clip_low_share"), ("high", "policy/clip_high_share")),
    ),
    Chart("grad", "Gradient norm before clipping", "norm", (("", "policy/grad_norm"),)),
    Chart(
        "logprobs",
        "Logprobs: rollout against learner",
        "nats",
        (("largest difference", "logprob_diff/max_abs"), ("mean", "logprob_diff/mean_abs")),
        log=True,
        note="In fp32 about 1e-5. A jump means that engine and learner differ.",
    ),
    Chart(
        "shares",
        "Groups without variance, samples cut or not judged",
        "share",
        (
            ("no variance", "groups/zero_variance_share"),
            ("cut at the limit", "completion/truncated_share"),
            ("not judged", "reward/invalid_share"),
        ),
    ),
    Chart("loss", "Loss", "loss", (("", "policy/loss"),)),
    Chart("rate", "Learning rate", "rate", (("", "learning_rate"),)),
    Chart("staleness", "Staleness", "steps", (("largest", "staleness/max"), ("mean", "staleness/mean"))),
    Chart("throughput", "Throughput", "samples per second", (("", "throughput/samples_per_s"),), smooth=True),
)


def charts_of(run: RecordedRun) -> tuple[list[Chart], list[str]]:
    """Return the charts that have data in this run, and the titles of those that could have data but have none."""
    names = run.names()
    roles = [re.fullmatch(r"memory/(\w+)_rss_bytes", name) for name in names]
    memory = tuple((role[1], role[0]) for role in roles if role)
    by_role = Chart("memory", "Resident memory by role", "GiB", memory, scale=2.0**-30)
    charts = [*(chart.with_types(names) for chart in CHARTS), by_role]
    charts.insert(2, _by_source(run))
    drawn = [chart for chart in charts if any(name in names for _, name in chart.curves)]
    kind = kind_of(run.config)
    expected = [chart for chart in charts if any(describe(name).is_expected(kind) for name in chart.names)]
    return drawn, [chart.title for chart in expected if chart not in drawn]


def _by_source(run: RecordedRun) -> Chart:
    """Return the chart of rewards by data source, as many as there are colours; without a curve for a single source."""
    counts = Counter(
        {
            source: int(sum(row.get(f"reward/by_source/{source}/count", 0) for row in run.metrics))
            for source in sources_in(run.names())
        }
    )
    largest = sorted(source for source, _ in counts.most_common(len(COLORS))) if len(counts) > 1 else []
    note = f"The {len(largest)} largest of {len(counts)} sources." if len(counts) > len(largest) > 0 else ""
    curves = tuple((source, f"reward/by_source/{source}/mean") for source in largest)
    return Chart("sources", "Reward in training by data source", "reward", curves, smooth=True, note=note)


def kind_of(config: dict[str, Any]) -> Kind:
    """Return the kind of run that a resolved config belongs to; GRPO without a config."""
    return "sft" if "sft" in config else "reward-model" if "reward_model" in config else "grpo"


def chart_svg(run: RecordedRun, chart: Chart) -> str:
    """Return the chart as an `<svg>` element with a description for screen readers.

    Its ink (text, axes and the main line) has the page's text colour.
    """
    return figure_svg(chart.key, spoken(run, chart), lambda axes: draw(axes, run, chart))


def figure_svg(
    key: str, description: str, paint: Callable[[Axes], None], size: tuple[float, float] = (4.6, 2.7)
) -> str:
    """Return what `paint(axes)` draws, as an `<svg>` element."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**RC, "svg.hashsalt": key}):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        paint(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|legend|xtick|ytick|matplotlib\.axis|\w+Collection)_\d+"', "", svg
    )
    return _root(svg, html.escape(description))


def _root(svg: str, label: str) -> str:
    """Return the SVG without a fixed size, so that the page decides on it, and with a description."""
    start, rest = svg.split(">", 1)
    start = re.sub(r' (?:width|height)="[^"]*"', "", start)
    return f'{start} role="img" aria-label="{label}">{rest}'


def spoken(run: RecordedRun, chart: Chart) -> str:
    """Return the chart in words: the first and the last value of each curve."""
    parts = []
    for label, name in chart.curves:
        if points := run.series(name):
            (first, start), (last, end) = points[0], points[-1]
            of = f"{label}: " if label else ""
            parts.append(f"{of}{start * chart.scale:.3g} at step {first}, {end * chart.scale:.3g} at step {last}")
    return f"{chart.title}. " + "; ".join(parts)


def draw(axes: Axes, run: RecordedRun, chart: Chart) -> None:
    """Draw the chart's curves; a noisy curve is drawn as a moving average, with its values faint behind it."""
    color, labelled = 0, False
    for label, name in chart.curves:
        points = run.series(name)
        main = label in ("", "mean")
        look: dict[str, Any] = {
            "color": INK if main else COLORS[color % 7],
            "linestyle": "-" if main else _STYLES[color % 7],
        }
        color += not main
        if not points:
            continue
        steps, values = zip(*thinned([(step, value * chart.scale) for step, value in points]), strict=True)
        window = len(steps) // 15 if chart.smooth and len(steps) >= _SMOOTHED_FROM_STEPS else 1
        if window > 1 and main:
            axes.plot(steps, values, color=INK, linewidth=0.8, alpha=0.35)
        look |= {"marker": "o" if chart.markers or len(steps) == 1 else None, "markersize": 4}
        axes.plot(steps, smoothed(values, window), label=label, linewidth=2.0 if main else 1.5, **look)
        labelled = labelled or bool(label)
    if chart.log and any(value > 0 for _, name in chart.curves for _, value in run.series(name)):
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    finish(axes, chart.unit, legend=labelled)


def finish(axes: Axes, unit: str, *, legend: bool, x: str = "step") -> None:
    """Add axis names, a light grid and, above the plot, the legend."""
    axes.set_xlabel(x)
    axes.set_ylabel(unit)
    axes.locator_params(axis="x", integer=x == "step")
    axes.grid(alpha=0.15, color=INK, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, borderaxespad=0.2)


def thinned(points: Points) -> list[tuple[float, float]]:
    """Return at most 500 points: each the mean of a few consecutive ones."""
    size = -(-len(points) // _MAX_POINTS)
    bins = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part)) for part in bins]


def smoothed(values: tuple[float, ...], window: int) -> list[float]:
    """Return the centred moving average; at the ends the window is shorter."""
    half = window // 2
    parts = [values[max(0, at - half) : at + half + 1] for at in range(len(values))]
    return [sum(part) / len(part) for part in parts]
