"""Figures that several benchmarks share.

share(graded)                             -> 61.0
category_scores(benchmark, graded)        -> {"task": {"geometry": {"value": 50.0, "num_rows": 12.0}}}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.base import Benchmark, GradedRow

CategoryScores = dict[str, dict[str, dict[str, float]]]


def checked(graded: Sequence[GradedRow]) -> Sequence[GradedRow]:
    """Return the rows themselves. Raises DataError without any row, or if one occurs twice."""
    if not graded:
        raise DataError("there are no rows to sum up", fix="evaluate at least one row")
    seen: set[str] = set()
    for one in graded:
        if one.row.index in seen:
            raise DataError(f"the row {one.row.index!r} was graded twice", fix="sum up one verdict a row")
        seen.add(one.row.index)
    return graded


def is_right(graded: GradedRow) -> bool:
    """Return whether the row is right; a row that is not settled is not."""
    return graded.score.correct is True


def share(graded: Sequence[GradedRow]) -> float:
    """Return how many of the rows are right, in percent. Rows that are not settled count as wrong."""
    return percent(sum(map(is_right, graded)), len(graded))


def percent(part: float, whole: int) -> float:
    """Return a part of a whole in percent; 0 of an empty whole."""
    return 100.0 * part / whole if whole else 0.0


def category_scores(benchmark: Benchmark, graded: Sequence[GradedRow]) -> CategoryScores:
    """Return the share of right rows in percent and the number of rows, by category and label, in order of the labels.

    A row with several labels counts under each.
    """
    groups: dict[str, dict[str, list[GradedRow]]] = defaultdict(lambda: defaultdict(list))
    for one in graded:
        for category, names in benchmark.categories(one.row).items():
            for name in dict.fromkeys(names):
                groups[category][name].append(one)
    return {
        category: {
            label: {"value": share(rows), "num_rows": float(len(rows))} for label, rows in sorted(by_label.items())
        }
        for category, by_label in groups.items()
    }
