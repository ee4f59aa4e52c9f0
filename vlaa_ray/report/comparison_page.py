"""The page of two evaluations, A and B: paired differences, conditions that differ, and the rows that changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, ValidationError

from vlaa_ray.errors import DataError
from vlaa_ray.report.evaluation_folder import AnsweredRow, RecordedEvaluation, RecordedScore, read_result, read_rows
from vlaa_ray.report.evaluation_page import FILTERS, conditions, model_line
from vlaa_ray.report.html import write_page
from vlaa_ray.report.rows_viewer import PICTURE_CHARS, Album, ShownRow, album_of, viewer


class PairedResult(BaseModel):
    """The paired result of one benchmark: the percentages of A and B, B minus A with its interval, and McNemar's p.

    `headline` names the score that is compared. `only_a` counts the rows that A alone has right, `only_b` those that B
    alone has right.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    headline: str
    num_rows: NonNegativeInt
    a: FiniteFloat | None
    b: FiniteFloat | None
    difference: RecordedScore
    mcnemar_p: FiniteFloat | None = None
    only_a: NonNegativeInt
    only_b: NonNegativeInt

    @property
    def look(self) -> str:
        """The word `better` or `worse` where the interval leaves 0 out, else `same`."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high:
            return "same"
        return "better" if low > 0 else "worse"


def write_comparison_page(comparison: Mapping[str, Any], a: Path, b: Path, out: Path) -> Path:
    """Write the page of the evaluation folders `a` and `b` to `out`, and return its path.

    `comparison` maps the name of a benchmark to its paired result: the entry `benchmarks` of the comparison that
    `vlaa_ray.evaluation` makes.

    Raises:
        DataError: a folder has no result that can be read, or the comparison lacks a number.

    """
    results = read_result(a), read_result(b)
    (rows_a, _), (rows_b, _) = read_rows(a), read_rows(b)
    rows = changed(rows_a, rows_b)
    keys_a, keys_b = ({row.key for row in rows} for rows in (rows_a, rows_b))
    content = {
        "title": f"{results[0].model.name} and {results[1].model.name}",
        "models": [model_line(result.model) for result in results],
        "paired": {name: _paired(name, values) for name, values in comparison.items()},
        "differing": _differing(*results),
        "rows": viewer(rows, _album(a, b, rows), [f"A: {results[0].model.name}", f"B: {results[1].model.name}"]),
        "counts": Counter(row.change for row in rows),
        "num_paired": len(keys_a & keys_b),
        "unpaired": (len(keys_a - keys_b), len(keys_b - keys_a)),
    }
    return write_page(out, "comparison.html.jinja", content, FILTERS | {"signed": signed, "p_value": p_value})


def changed(rows_a: list[AnsweredRow], rows_b: list[AnsweredRow]) -> list[ShownRow]:
    """Return the rows of both evaluations whose verdicts differ, in the order of A.

    `change` says how: `only_a` is right in A alone, `only_b` in B alone, `other` is wrong in one and unsettled in the
    other.
    """
    of_b = {row.key: row for row in rows_b}
    pairs = [(row, of_b[row.key]) for row in rows_a if row.key in of_b]
    return [ShownRow(pair, _change(*pair)) for pair in pairs if pair[0].verdict != pair[1].verdict]


def _change(a: AnsweredRow, b: AnsweredRow) -> str:
    return "only_a" if a.verdict == "right" else "only_b" if b.verdict == "right" else "other"


def _paired(name: str, values: Any) -> PairedResult:
    try:
        return PairedResult.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (name, *first["loc"])))
        raise DataError("the comparison lacks a number", key=key, got=first["msg"], fix="compare again") from error


def _differing(a: RecordedEvaluation, b: RecordedEvaluation) -> list[tuple[str, str, str]]:
    """Return the conditions that differ as (name, text of A, text of B)."""
    texts_a, texts_b = dict(conditions(a.conditions)), dict(conditions(b.conditions))
    names = [*texts_a, *(name for name in texts_b if name not in texts_a)]
    lines = [(name, texts_a.get(name, "not recorded"), texts_b.get(name, "not recorded")) for name in names]
    return [line for line in lines if line[1] != line[2]]


def _album(a: Path, b: Path, rows: list[ShownRow]) -> Album:
    """Return the pictures of the rows: from A's folder, or from B's where A's has been moved without its pictures."""
    of_a = album_of(a, (row.answers[0] for row in rows), PICTURE_CHARS)
    return of_a if of_a.uris or not of_a.num_missing else album_of(b, (row.answers[0] for row in rows), PICTURE_CHARS)


def signed(value: float | None) -> str:
    """Return the value with its sign and one decimal, or a dash for None."""
    return "–" if value is None else f"{value:+.1f}"


def p_value(value: float | None) -> str:
    """Return a p-value with three decimals; smaller ones as "< 0.001"."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
