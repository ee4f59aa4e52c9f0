"""The analyses of how a policy reasons over a run: the paper's figures 6 and 7 for this run (arXiv 2504.11468).

Phrases of self-reflection over time, length against reward, each verifier type on its own, and the share of completions
that begin as SFT traces do. The curves come from metrics over all completions. Phrases and traces that are named only
for the report can be looked for in the few rollouts on disk alone, and a table says in how many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlaa_ray.monitoring.names import types_in
from vlaa_ray.report.breakdown import mean_over
from vlaa_ray.report.curves import COLORS, INK, Chart, chart_svg, figure_svg, finish, smoothed
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.text.openings import Openings
from vlaa_ray.text.phrases import Phrases, phrase_keys

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COUNT = re.compile(r"completion/reflection/([^/]+)/count")
_SHARE = 10  # the first and the last tenth of the steps are compared
_CHARTS = (
    Chart(
        "reflection_share",
        "Completions with a phrase of self-reflection",
        "share",
        (("mean", "completion/reflection/share"),),
        by_type="completion/{}/reflection_share",
        smooth=True,
    ),
    Chart(
        "length_reward",
        "Length against reward within groups",
        "correlation",
        (("", "completion/length_reward_correlation"),),
        smooth=True,
        note="Above 0, the longer of two answers to a question earns more.",
    ),
    Chart(
        "flat",
        "Groups without variance by verifier type",
        "share",
        (("mean", "groups/zero_variance_share"),),
        by_type="groups/{}/zero_variance_share",
        smooth=True,
    ),
    Chart(
        "openings",
        "Completions that begin as an SFT trace",
        "share",
        (("", "completion/sft_opening_share"),),
        smooth=True,
    ),
)


@dataclass(frozen=True)
class PhraseLine:
    """A phrase, its occurrences in the whole run, and those in 1,000 completions of the first and the last steps."""

    phrase: str
    total: int
    first: float | None
    last: float | None


@dataclass(frozen=True)
class TypeLine:
    """A verifier type: (first steps, last steps) of its reward, its tokens, and its share with a phrase."""

    name: str
    reward: tuple[float | None, float | None]
    tokens: tuple[float | None, float | None]
    reflection: tuple[float | None, float | None]


@dataclass(frozen=True)
class KeptLine:
    """The rollouts on disk that have something, of all rollouts on disk, at the first steps and at the last ones."""

    what: str
    first: tuple[int, int]
    last: tuple[int, int]


@dataclass(frozen=True)
class Sought:
    """What is looked for in the rollouts on disk: phrases, and the openings of SFT traces."""

    phrases: Sequence[str] = ()
    openings: Openings | None = None


@dataclass(frozen=True)
class Study:
    """The content of the section; `first` and `last` name the steps that are compared, in words."""

    figures: list[tuple[Chart, str]] = field(default_factory=list)
    phrases: tuple[PhraseLine, ...] = ()
    types: tuple[TypeLine, ...] = ()
    kept: tuple[KeptLine, ...] = ()
    first: str = ""
    last: str = ""

    @property
    def has_data(self) -> bool:
        """True if there is anything to show."""
        return bool(self.figures or self.types or self.kept)


def study_of(run: RecordedRun, sought: Sought | None = None) -> Study:
    """Return the analyses of a run; nothing of a run that sampled no completions."""
    rows = [row for row in run.metrics if "completion/mean_tokens" in row and "reward/count" in row]
    if not rows:
        return Study(kept=_kept(run, sought))
    size = max(1, len(rows) // _SHARE)
    first, last = rows[:size], rows[-size:]
    return Study(
        figures=_figures(run, rows),
        phrases=_phrase_lines(run, rows, first, last),
        types=_type_lines(run, first, last),
        kept=_kept(run, sought),
        first=_steps(first),
        last=_steps(last),
    )


def _figures(run: RecordedRun, rows: list[dict[str, float]]) -> list[tuple[Chart, str]]:
    names = run.names()
    phrases = tuple((phrase, name) for phrase, name in _phrase_metrics(run).items() if _total(rows, name))
    counts = Chart("reflection", "Phrases of self-reflection", "times a step", phrases, smooth=True)
    charts = [counts, *(chart.with_types(names) for chart in _CHARTS)]
    drawn = [chart for chart in charts if any(name in names for _, name in chart.curves)]
    figures = [(chart, chart_svg(run, chart)) for chart in drawn]
    way = Chart("way", "Reward and length together", "", note="From the first step (ring) to the last one (dot).")
    return [*figures, (way, figure_svg("way", _spoken_way(rows), lambda axes: _draw_way(axes, rows)))]


def _draw_way(axes: Axes, rows: list[dict[str, float]]) -> None:
    """Draw each verifier type's smoothed way through the plane of mean length and mean reward."""
    types = types_in({name for row in rows for name in row}, "reward/{}/mean")
    window = max(1, len(rows) // 8)
    for number, name in enumerate(["", *types]):
        part = f"{name}/" if name else ""
        keys = (f"completion/{part}mean_tokens", f"reward/{part}mean")
        points = [(row[keys[0]], row[keys[1]]) for row in rows if all(key in row for key in keys)]
        if not points:
            continue
        x, y = (smoothed(values, window) for values in zip(*points, strict=True))
        color = COLORS[(number - 1) % len(COLORS)] if name else INK
        axes.plot(x, y, color=color, linewidth=1.2 if name else 2.0, label=name or "all")
        axes.plot(x[:1], y[:1], color=color, marker="o", markerfacecolor="none", markersize=6)
        axes.plot(x[-1:], y[-1:], color=color, marker="o", markersize=5)
    finish(axes, "mean reward", legend=True, x="mean tokens of a completion")


def _spoken_way(rows: list[dict[str, float]]) -> str:
    ends = [row for row in rows if "reward/mean" in row]
    if not ends:
        return "Reward and length together."
    (first, last) = (ends[0], ends[-1])
    return (
        f"Reward and length together. {first['completion/mean_tokens']:.3g} tokens and reward "
        f"{first['reward/mean']:.3g} at step {first['step']:g}, {last['completion/mean_tokens']:.3g} tokens and reward "
        f"{last['reward/mean']:.3g} at step {last['step']:g}"
    )


def _phrase_metrics(run: RecordedRun) -> dict[str, str]:
    """Return the metric of each phrase's count, by the phrase as the config writes it."""
    tracking = run.config.get("tracking")
    listed = tracking.get("reflection_phrases") if isinstance(tracking, dict) else None
    texts = {key: text for text, key in phrase_keys(filter(_is_text, listed or ())).items()}
    found = [(match[1], name) for name in run.names() if (match := _COUNT.fullmatch(name))]
    return {texts.get(key, key): name for key, name in found}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _phrase_lines(
    run: RecordedRun, rows: list[dict[str, float]], first: list[dict[str, float]], last: list[dict[str, float]]
) -> tuple[PhraseLine, ...]:
    lines = [
        PhraseLine(phrase, round(_total(rows, name)), _in_a_thousand(first, name), _in_a_thousand(last, name))
        for phrase, name in _phrase_metrics(run).items()
    ]
    return tuple(sorted(lines, key=lambda line: -line.total))


def _total(rows: list[dict[str, float]], name: str) -> float:
    return sum(row.get(name, 0.0) for row in rows)


def _in_a_thousand(rows: list[dict[str, float]], name: str) -> float | None:
    """Return the occurrences in 1,000 completions; None where the number of completions is not known."""
    known = [row for row in rows if name in row and row.get("reward/invalid_share", 0.0) < 1]
    completions = sum(round(row["reward/count"] / (1 - row.get("reward/invalid_share", 0.0))) for row in known)
    return 1000 * _total(known, name) / completions if completions else None


def _type_lines(run: RecordedRun, first: list[dict[str, float]], last: list[dict[str, float]]) -> tuple[TypeLine, ...]:
    def ends(name: str) -> tuple[float | None, float | None]:
        pair = mean_over(first, name), mean_over(last, name)
        return pair if None not in pair else (None, None)

    return tuple(
        TypeLine(
            name,
            ends(f"reward/{name}/mean"),
            ends(f"completion/{name}/mean_tokens"),
            ends(f"completion/{name}/reflection_share"),
        )
        for name in types_in(run.names(), "reward/{}/mean")
    )


def _steps(rows: list[dict[str, float]]) -> str:
    first, last = int(rows[0]["step"]), int(rows[-1]["step"])
    return f"step {first}" if first == last else f"steps {first} to {last}"


def _kept(run: RecordedRun, sought: Sought | None) -> tuple[KeptLine, ...]:
    if sought is None or not run.rollout_files:
        return ()
    periods = [[str(row.get("completion", "")) for row in run.rollouts(late=late)] for late in (False, True)]
    lines = []
    for phrase in sought.phrases:
        counter = Phrases([phrase])
        first, last = (sum(bool(counter.counts(text)) for text in texts) for texts in periods)
        lines.append(KeptLine(phrase, (first, len(periods[0])), (last, len(periods[1]))))
    if sought.openings is not None:
        first, last = (sum(map(sought.openings.has, texts)) for texts in periods)
        lines.append(KeptLine("the opening of an SFT trace", (first, len(periods[0])), (last, len(periods[1]))))
    return tuple(lines)
