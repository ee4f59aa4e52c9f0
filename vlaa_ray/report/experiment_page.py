"""The page of an experiment: tables and figures in the paper's shape for its arms, also while they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.experiments.outcome import PHRASES
from vlaa_ray.report.experiment_charts import change_chart, curve_charts
from vlaa_ray.report.experiment_samples import samples_of
from vlaa_ray.report.html import safe, write_page
from vlaa_ray.text.durations import duration

PAGE = "page.html"
Arms = dict[str, Any]
_TABLES = (
    ("table2", "SFT alone", "as table 2 and figure 3 of the paper"),
    ("table3", "SFT before GRPO", "as table 3 and figure 5"),
    ("table5", "Rewards switched off", "as table 5"),
    ("table6", "Learning rate and KL", "as table 6"),
    ("other", "Other ways of GRPO", "which the paper does not have"),
)


@dataclass(frozen=True)
class ScoreTable:
    """A table of arms: `arms` by name, and the sentence below the title."""

    key: str
    title: str
    note: str
    arms: Arms
    chart: Any = ""


def write_experiment_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write the page of an experiment into its folder, and return its path; `result` is what `result.json` holds."""
    arms: Arms = dict(result["arms"])
    columns = list(result["columns"])
    style = safe((Path(__file__).parent / "experiment.css").read_text(encoding="utf-8"))
    content = {
        "title": result["name"],
        "own_style": style,
        "result": result,
        "arms": arms,
        "columns": columns,
        "facts": _facts(result),
        "tables": tables_of(arms, columns),
        "alone": alone_of(result),
        "curves": [(title, safe(svg)) for title, svg in curve_charts(arms)],
        "trained": {name: arm for name, arm in arms.items() if arm["training"]},
        "phrases": PHRASES,
        "samples": samples_of(folder, arms),
        "differences": _differences(result),
    }
    return write_page(folder / PAGE, "experiment.html.jinja", content, FILTERS)


def tables_of(arms: Arms, columns: Sequence[str]) -> list[ScoreTable]:
    """Return the tables: all arms first, then one for each table of the paper that has arms like some of these."""
    tables = [ScoreTable("all", "Scores", "of all arms, as table 4 of the paper", arms)]
    grpo = {name: arm for name, arm in arms.items() if arm["kind"] == "grpo" and arm["table"] == "table4"}
    for key, title, note in _TABLES:
        own = {name: arm for name, arm in arms.items() if arm["table"] == key}
        if own:
            shown = own if key == "table2" else {**grpo, **own}
            bases = {arm["base"] for arm in shown.values()}
            first = {name: arm for name, arm in arms.items() if name in bases}
            tables.append(ScoreTable(key, title, note, {**first, **shown}, _chart(shown, columns)))
    return tables


def _chart(arms: Arms, columns: Sequence[str]) -> Any:
    drawn = {name: arm for name, arm in arms.items() if any(arm["relative_change"].values())}
    return safe(change_chart(drawn, columns)) if drawn and columns else ""


def alone_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the comparison with GRPO alone of each arm that has SFT before GRPO, by arm."""
    arms = result["arms"]
    return {
        comparison["arm"]: comparison
        for comparison in result["comparisons"]
        if arms[comparison["arm"]]["kind"] == "sft_grpo" and arms[comparison["against"]]["kind"] == "grpo"
    }


def _facts(result: Mapping[str, Any]) -> list[str]:
    jobs = result["jobs"]
    done = sum(job["state"] == "finished" for job in jobs)
    facts = [f"{done} of {len(jobs)} runs done"]
    if result["state"] == "running":
        left = result["left_s"]
        facts.append("time left not known yet" if left is None else f"about {duration(left)} left")
    facts.append(f"seeds {', '.join(map(str, result['seeds']))}")
    facts.append(f"start model {result['start_model']}")
    return facts


def _differences(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the comparisons with places of the interval on a scale from 0 to 100, the same for all."""
    known = [comparison for comparison in result["comparisons"] if comparison["difference"]]
    ends = [abs(end) for c in known for end in _span(c["difference"])]
    most = max(ends, default=0.0) or 1.0

    def place(value: float) -> float:
        return round(50 + 48 * value / most, 2)

    return [
        {
            **comparison,
            "at": place(comparison["difference"]["value"]),
            "span": [place(end) for end in _span(comparison["difference"])],
        }
        for comparison in known
    ]


def _span(difference: Mapping[str, Any]) -> tuple[float, float]:
    value, low, high = difference["value"], difference["low"], difference["high"]
    return (value, value) if low is None else (low, high)


def interval(estimate: Mapping[str, Any] | None) -> str:
    """Return a value with its interval as text: `52.0 (26.6–77.4)`; a dash for None."""
    if not estimate:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:.1f}"
    return f"{estimate['value']:.1f} ({estimate['low']:.1f} to {estimate['high']:.1f})"


def signed(estimate: Mapping[str, Any] | None) -> str:
    """Return a change with its interval and its signs as text; a dash for None."""
    if not estimate:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:+.1f}"
    return f"{estimate['value']:+.1f} ({estimate['low']:+.1f} to {estimate['high']:+.1f})"


def look(estimate: Mapping[str, Any] | None) -> str:
    """Return the class `better` or `worse` where the whole interval is on one side of 0, else ""."""
    if not estimate or estimate["low"] is None:
        return ""
    return "better" if estimate["low"] > 0 else "worse" if estimate["high"] < 0 else ""


def figure(value: float | None) -> str:
    """Return a number with up to three significant digits; a dash for None."""
    return "–" if value is None else f"{value:.3g}"


def mean_of(values: Mapping[str, Any], key: str) -> float | None:
    """Return the mean over seeds of one figure; None without a seed that has it."""
    found = [value[key] for value in values.values() if value.get(key) is not None]
    return sum(found) / len(found) if found else None


def total_of(values: Mapping[str, Any], phrase: str) -> int:
    """Return the sum over seeds of the counts of one phrase."""
    return sum(value["reflections"].get(phrase, 0) for value in values.values())


FILTERS = {
    "interval": interval,
    "signed": signed,
    "look": look,
    "figure": figure,
    "mean_of": mean_of,
    "total_of": total_of,
}
