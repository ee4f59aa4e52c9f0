"""The folder of an evaluation as the pages read it: `result.json` and the rows of `rows.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, ValidationError

from vlaa_ray.errors import DataError
from vlaa_ray.storage.layout import RESULT, ROWS
from vlaa_ray.storage.mapping_file import read_mapping

Verdict = Literal["right", "wrong", "unsettled"]
_FIX = "give the folder that `vlaa-ray eval` has written, or evaluate again"


class _ResultPart(BaseModel):
    """A part of `result.json`; keys that a page does not show are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedScore(_ResultPart):
    """A score in percent with its 95% interval; None where there is nothing to count."""

    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    @property
    def is_on_scale(self) -> bool:
        """True if the value can be drawn on a line from 0 to 100."""
        return self.value is not None and 0 <= self.value <= 100

    @property
    def span(self) -> tuple[float, float] | None:
        """The interval's ends, kept within 0 and 100; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return max(0.0, min(self.low, 100.0)), min(100.0, max(self.high, 0.0))


class RecordedCategory(_ResultPart):
    """The score of the rows with one label, in percent."""

    value: FiniteFloat | None
    num_rows: NonNegativeInt


class RecordedSettled(_ResultPart):
    """The number of answers that a rule settled, that a judge settled, that nothing settled, and that are missing."""

    rule: NonNegativeInt = 0
    judge: NonNegativeInt = 0
    unsettled: NonNegativeInt = 0
    unanswered: NonNegativeInt = 0


class RecordedBenchmark(_ResultPart):
    """The result of one benchmark. `headline` names the score that the leaderboard counts."""

    num_rows: NonNegativeInt
    num_samples: NonNegativeInt = 1
    headline: str
    settled: RecordedSettled = RecordedSettled()
    scores: dict[str, RecordedScore]
    categories: dict[str, dict[str, RecordedCategory]] = {}
    pass_at_k: dict[str, FiniteFloat] | None = None
    majority: FiniteFloat | None = None

    @property
    def main(self) -> RecordedScore:
        """The score that `headline` names."""
        return self.scores.get(self.headline, RecordedScore(value=None))

    @property
    def all_scores(self) -> list[tuple[str, RecordedScore]]:
        """All scores by name: the benchmark's own, then those of several answers a row."""
        scores = list(self.scores.items())
        if self.majority is not None:
            scores.append((f"majority of {self.num_samples} answers", RecordedScore(value=self.majority)))
        return scores + [(f"pass@{k}", RecordedScore(value=value)) for k, value in (self.pass_at_k or {}).items()]


class RecordedModel(_ResultPart):
    """The model that was evaluated. `num_parameters` is None where the evaluation has not written it."""

    name: str
    path: str | None = None
    kind: str = ""
    weight_version: int | str | None = None
    num_parameters: int | None = None


class RecordedEvaluation(_ResultPart):
    """Everything in `result.json`. `mean_of_six` is None unless all six benchmarks of the leaderboard are there."""

    model: RecordedModel
    created: str | float | None = None
    version: str = ""
    conditions: dict[str, Any] = {}
    benchmarks: dict[str, RecordedBenchmark]
    mean_of_six: FiniteFloat | None = None


@dataclass(frozen=True)
class AnsweredRow:
    """One answer of the model: a line of `rows.jsonl`. `settled_by` is "" while nothing has settled it.

    `value` is what the answer counts, from 0 to 1; None where the file does not say it.
    """

    benchmark: str
    index: str
    sample: int
    question: str
    gold: str
    prediction: str
    extracted: str
    verdict: Verdict
    value: float | None
    settled_by: str
    reason: str
    finish_reason: str
    num_tokens: int | None
    categories: tuple[tuple[str, str], ...]
    images: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        """The benchmark, the row's index and the number of the sample: what two evaluations are paired by."""
        return self.benchmark, self.index, self.sample


def read_result(folder: Path) -> RecordedEvaluation:
    """Return what `result.json` of an evaluation folder holds.

    Raises:
        DataError: the file is missing, damaged, or lacks something that a page needs.

    """
    mapping, problem = read_mapping(folder / RESULT, json.loads)
    if problem:
        fault = "there is none" if not (folder / RESULT).is_file() else problem
        raise DataError("not the folder of an evaluation", file=str(folder / RESULT), got=fault, fix=_FIX)
    try:
        return RecordedEvaluation.model_validate(mapping)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(
            "the result of an evaluation can't be read",
            file=str(folder / RESULT),
            key=key,
            got=first["msg"],
            fix=_FIX,
        ) from error


def read_rows(folder: Path) -> tuple[list[AnsweredRow], int]:
    """Return (the rows of `rows.jsonl`, the number of its lines that can't be read); without the file ([], 0)."""
    rows, num_bad = [], 0
    try:
        file = (folder / ROWS).open(encoding="utf-8", errors="replace", newline="\n")
    except FileNotFoundError:
        return [], 0
    with file:
        for line in file:
            try:
                rows.append(_row_of(json.loads(line)))
            except (ValueError, RecursionError):
                num_bad += 1
    return rows, num_bad


def _row_of(line: Any) -> AnsweredRow:
    """Return the row of a line. Raises ValueError if the line is not a mapping with a benchmark and an index."""
    if not isinstance(line, dict) or not {"benchmark", "index"} <= line.keys():
        raise ValueError("not a row of an evaluation")
    sample, num_tokens, images = line.get("sample"), line.get("num_tokens"), line.get("images")
    verdicts: Mapping[Any, Verdict] = {True: "right", False: "wrong"}
    correct, value = line.get("correct"), line.get("value")
    return AnsweredRow(
        benchmark=_text(line["benchmark"]),
        index=_text(line["index"]),
        sample=sample if isinstance(sample, int) else 0,
        question=_text(line.get("question")),
        gold=_text(line.get("gold")),
        prediction=_text(line.get("prediction")),
        extracted=_text(line.get("extracted")),
        verdict=verdicts[correct] if isinstance(correct, bool) else "unsettled",
        value=float(value) if isinstance(value, int | float) and math.isfinite(value) else None,
        settled_by=_text(line.get("settled_by")),
        reason=_text(line.get("reason")),
        finish_reason=_text(line.get("finish_reason")),
        num_tokens=num_tokens if isinstance(num_tokens, int) else None,
        categories=_labels(line.get("categories")),
        images=tuple(name for name in images if isinstance(name, str)) if isinstance(images, list) else (),
    )


def _labels(categories: Any) -> tuple[tuple[str, str], ...]:
    """Return the labels as pairs of (category, label): {"skill": ["a", "b"]} has two."""
    if not isinstance(categories, dict):
        return ()
    pairs = ((name, labels if isinstance(labels, list) else [labels]) for name, labels in categories.items())
    return tuple((name, _text(label)) for name, labels in pairs for label in labels)


def _text(value: Any) -> str:
    """Return a text as it is, None as "", and anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
