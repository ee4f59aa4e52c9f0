"""Two evaluations side by side: the rows that changed, and whether their difference is more than chance.

compare(Path("runs/eval-base"), Path("runs/eval-trained"))["benchmarks"]["MathVista"]["difference"]
-> {"value": 2.4, "low": 0.3, "high": 4.5}
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.results import read_lines, read_result
from vlaa_ray.evaluation.statistics import mcnemar_p, paired_difference
from vlaa_ray.storage.layout import CLUSTERS, ROWS

_MAJORITY = 0.5
Row = tuple[str, str]


class RowValue(NamedTuple):
    """What one model made of a question: the mean value of its samples, and the share of right ones."""

    value: float
    right: float


def compare(first: Path, second: Path) -> dict[str, Any]:
    """Return the comparison of two evaluations' folders, as `comparison.json` holds it; "b" minus "a" in percent.

    For each benchmark that both have: the headline of both with the paired difference and its 95% interval, the rows
    that only one is right on, McNemar's exact p over them, and the rows that changed.

    Raises:
        DataError: a folder holds no result, or they have no benchmark in common.

    """
    results = [read_result(folder) for folder in (first, second)]
    names = [name for name in results[0]["benchmarks"] if name in results[1]["benchmarks"]]
    if not names:
        known = [list(result["benchmarks"]) for result in results]
        raise DataError("the two evaluations have no benchmark in common", got=known)
    rows = [_row_values(folder) for folder in (first, second)]
    clusters = [_cluster_values(folder) for folder in (first, second)]
    differing = _differing(results[0]["conditions"], results[1]["conditions"])
    return {
        "a": {"folder": str(first), "model": results[0]["model"], "conditions": results[0]["conditions"]},
        "b": {"folder": str(second), "model": results[1]["model"], "conditions": results[1]["conditions"]},
        "differing_conditions": differing,
        "benchmarks": {
            name: _of_benchmark(name, [result["benchmarks"][name] for result in results], rows, clusters)
            for name in names
        },
    }


def comparison_table(comparison: dict[str, Any]) -> Table:
    """Return a comparison as a table for the terminal; "only a/b" counts the rows that only one is right on."""
    names = [comparison[side]["model"]["name"] for side in ("a", "b")]
    table = Table(title=f"{names[1]} (b) against {names[0]} (a)", title_justify="left")
    for column in ("benchmark", "figure", "a", "b", "b - a", "95% interval", "only a/b", "p"):
        table.add_column(column, justify="left" if column in ("benchmark", "figure") else "right", no_wrap=True)
    for name, entry in comparison["benchmarks"].items():
        difference = entry["difference"]
        interval = "" if difference["low"] is None else f"{_signed(difference['low'])} to {_signed(difference['high'])}"
        values = f"{entry['a']:.1f}", f"{entry['b']:.1f}", _signed(difference["value"])
        counts = f"{entry['only_a']}/{entry['only_b']}"
        table.add_row(name, entry["headline"], *values, interval, counts, f"{entry['mcnemar_p']:.3g}")
    return table


def _signed(value: float) -> str:
    """Return the value with its sign and one decimal; zero is never negative."""
    return f"{round(value, 1) + 0.0:+.1f}"


def _of_benchmark(
    name: str,
    entries: list[dict[str, Any]],
    rows: list[dict[Row, RowValue]],
    clusters: list[dict[Row, dict[str, Any]]],
) -> dict[str, Any]:
    of_a, of_b = ({row: value for row, value in each.items() if row[0] == name} for each in rows)
    common = [row for row in of_a if row in of_b]
    headline = entries[0]["headline"]
    values = [entry["scores"][headline]["value"] for entry in entries]
    right = [(of_a[row].right > _MAJORITY, of_b[row].right > _MAJORITY) for row in common]
    only_a, only_b = right.count((True, False)), right.count((False, True))
    return {
        "headline": headline,
        "a": values[0],
        "b": values[1],
        "num_rows": len(common),
        "only_in_a": len(of_a) - len(common),
        "only_in_b": len(of_b) - len(common),
        "difference": _headline_difference(name, headline, values, clusters),
        "accuracy_difference": _row_difference([(of_a[row], of_b[row]) for row in common]),
        "only_a": only_a,
        "only_b": only_b,
        "mcnemar_p": mcnemar_p(only_a, only_b),
        "changed": [
            {"index": row[1], "a": of_a[row].value, "b": of_b[row].value}
            for row in common
            if of_a[row].value != of_b[row].value
        ],
    }


def _headline_difference(
    name: str, headline: str, values: list[float], clusters: list[dict[Row, dict[str, Any]]]
) -> dict[str, float | None]:
    """Return the difference of the headlines with its interval over the units that both have."""
    units = [unit for unit in clusters[0] if unit[0] == name and unit in clusters[1]]
    pairs = [(clusters[0][unit], clusters[1][unit]) for unit in units]
    if not pairs or not all(headline in part["values"] for pair in pairs for part in pair):
        return {"value": values[1] - values[0], "low": None, "high": None}
    weights = [pair[0]["weights"][headline] for pair in pairs]
    found = paired_difference(
        [pair[0]["values"][headline] for pair in pairs], [pair[1]["values"][headline] for pair in pairs], weights
    )
    return found._asdict()


def _row_difference(pairs: list[tuple[RowValue, RowValue]]) -> dict[str, float | None]:
    """Return the difference of the mean value of rows, in percent, with its interval over rows."""
    if not pairs:
        return {"value": None, "low": None, "high": None}
    first, second = [100 * pair[0].value for pair in pairs], [100 * pair[1].value for pair in pairs]
    return paired_difference(first, second, [1.0] * len(pairs))._asdict()


def _row_values(folder: Path) -> dict[Row, RowValue]:
    samples: dict[Row, list[dict[str, Any]]] = {}
    for row in _checked(read_lines(folder / ROWS), folder):
        verdict = {"value": float(row["value"]), "right": row["correct"] is True}
        samples.setdefault((row["benchmark"], row["index"]), []).append(verdict)
    return {
        row: RowValue(
            statistics.fmean(verdict["value"] for verdict in verdicts),
            statistics.fmean(verdict["right"] for verdict in verdicts),
        )
        for row, verdicts in samples.items()
    }


def _cluster_values(folder: Path) -> dict[Row, dict[str, Any]]:
    return {(line["benchmark"], line["cluster"]): line for line in _checked(read_lines(folder / CLUSTERS), folder)}


def _checked(rows: Iterable[dict[str, Any]], folder: Path) -> Iterable[dict[str, Any]]:
    for row in rows:
        if not isinstance(row, dict) or "benchmark" not in row:
            raise DataError("a row of the evaluation can't be used", folder=str(folder), fix="evaluate again")
        yield row


def _differing(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    """Return {condition: [of a, of b]} for the conditions that differ."""
    return {key: [first.get(key), second.get(key)] for key in {**first, **second} if first.get(key) != second.get(key)}
