"""MathVista, its 1,000 rows of testmini (lupantech/MathVista): options in text, integers, floats and lists.

An option is right by its text, because two options may have the same. An integer must be equal. A float is right if it
equals the gold after both are rounded to the row's precision: that of the column `precision`, or else the gold's own.

Differences from others, which can be seen row by row:

- VLMEvalKit compares floats without rounding, and accepts text after a number only through its judge. We read units.
- The official scorer cuts 7.9 to the integer 7, and takes the option with the smallest edit distance for any answer,
  also for "N/A". We do the latter only where a row comes with the official scorer's own column `precision`, as its
  result files have it; the reason then says so. The rows that `read` returns have none for a choice, so that here a
  judge is asked, as in VLMEvalKit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from vlaa_ray.data.formats.fields import literal, mapping
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part, without_remark
from vlaa_ray.evaluation.benchmarks.base import Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, chosen, options_of, plain_text
from vlaa_ray.evaluation.benchmarks.files import Fields
from vlaa_ray.evaluation.benchmarks.kit import KitBenchmark, labels
from vlaa_ray.evaluation.benchmarks.values import equal_as_formula, number_in
from vlaa_ray.evaluation.benchmarks.verdicts import graded, graded_if_marked, right, shown, unsettled, wrong

_MAX_EXTRACTION_CHARS = 300
_HUGE_EXPONENT = re.compile(r"[eE][+-]?\d{4,}")  # a fraction would write out the power of ten


class MathVista(KitBenchmark):
    """MathVista testmini; `overall` is the accuracy that the leaderboard counts."""

    name: ClassVar[str] = "MathVista"
    kit_name: ClassVar[str] = "MathVista_MINI"
    files: ClassVar[tuple[str, ...]] = ("testmini.json", "testmini*.parquet", "mathvista*.json*")
    known_by: ClassVar[tuple[str, ...]] = ("question_type", "answer_type", "answer_option", "task", "skills")

    def from_official(self, record: Fields, file: Path) -> Fields:
        """Return the columns of a record with `pid`, `query` and `metadata`."""
        metadata = _mapping(record, "metadata")
        fields = {name: value for name, value in record.items() if name != "metadata"}
        fields |= {
            "index": record.get("pid", record.get("id")),
            "question": record.get("query", record.get("question")),
        }
        fields |= {name: metadata[name] for name in ("task", "skills", "context", "grade") if name in metadata}
        return fields

    def is_choice(self, fields: Fields) -> bool:
        """Return whether the row asks to choose an option: by its type, or else because it has options."""
        kind = fields.get("question_type")
        return kind == "multi_choice" if not is_missing(kind) else bool(options_of(fields))

    def options(self, fields: Fields) -> Options:
        """Return the options of the column `choices`."""
        return options_of(fields)

    def right_option(self, fields: Fields) -> str:
        """Return the letter of the gold, which is an option's text. Raises DataError if no option has this text."""
        gold, options = self.gold(fields), self.options(fields)
        named = str(fields.get("answer_option") or "").strip().upper()
        same = [letter for letter, text in options.items() if text == gold]
        same = same or [letter for letter, text in options.items() if plain_text(text) == plain_text(gold)]
        if not same and named not in options:
            raise DataError("the gold is not among the options", got=gold[:80], expected=list(options.values())[:8])
        return named if named in options and (not same or named in same) else same[0]

    def score_choice(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the text of the chosen option is the gold's."""
        options = self.options(fields)
        gold = options[self.right_option(fields)]
        letter = chosen(stated, options)
        if letter is not None:
            return graded(options[letter] == gold, f"{letter}: {options[letter]}", gold)
        if "precision" in fields and len(stated.text) <= _MAX_EXTRACTION_CHARS:
            return _nearest(stated.text, options, gold)
        return unsettled(None, "no rule finds the option that the answer chooses")

    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the number or the list that the answer states is the gold."""
        gold, final = self.gold(fields), final_part(stated)
        golds = literal(gold)
        if isinstance(golds, list | tuple):
            return _score_list(list(golds), final)
        target = _number(gold)
        if target is None:
            return graded(plain_text(final.text) == plain_text(gold), final.text, gold)
        value = number_in(without_remark(final.text))
        if value is None:
            if final.marked and equal_as_formula(final.text, gold):
                return right(final.text)
            return unsettled(None, "no rule finds a single number in the answer")
        equal = _rounded(value, fields, gold) == _rounded(target, fields, gold)
        return graded_if_marked(equal, final, gold)

    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's task and its skills."""
        return {"task": labels(row.fields.get("task")), "skill": labels(row.fields.get("skills"))}


def _mapping(record: Fields, name: str) -> Mapping[str, Any]:
    try:
        return mapping(record.get(name)) or {}
    except ValueError as error:
        raise DataError(f"the column {name} can't be read: {error}") from error


def _number(text: str) -> Fraction | None:
    if len(text) >= 40 or _HUGE_EXPONENT.search(text):
        return None
    try:
        return Fraction(text.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None


def _rounded(value: Fraction, fields: Fields, gold: str) -> Fraction | float:
    """Return a number as it is compared: rounded, as the official scorer does, where the gold is a float."""
    precision = _number(str(fields.get("precision") or ""))
    digits = int(precision) if precision is not None else len(gold.partition(".")[2])
    whole = fields.get("answer_type") == "integer" or "." not in gold
    return value if whole or digits > 12 or abs(value) > 10**15 else round(float(value), digits)


def _score_list(golds: list[Any], final: Stated) -> RowScore:
    """Return whether the answer is the same list, its numbers compared as numbers, in the same order."""
    text = final.text[final.text.find("[") : final.text.rfind("]") + 1] if "[" in final.text else ""
    values = literal(text) if len(text) < 1000 else None
    if not isinstance(values, list):
        return unsettled(None, "no rule finds a list in the answer")
    pairs = list(zip(values, golds, strict=False))
    same = len(values) == len(golds) and all(_same_item(value, gold) for value, gold in pairs)
    return graded(same, text, str(golds))


def _same_item(value: Any, gold: Any) -> bool:
    numbers = _number(str(value)), _number(str(gold))
    return numbers[0] == numbers[1] if None not in numbers else str(value).strip() == str(gold).strip()


def _nearest(text: str, options: Options, gold: str) -> RowScore:
    """Return the official scorer's verdict: on the option with the smallest edit distance, the first of several."""
    from rapidfuzz.distance import Levenshtein

    nearest = min(options.values(), key=lambda option: Levenshtein.distance(text.strip(), option))
    reason = f"{shown(text)!r} names no option; the official scorer takes the nearest by edit distance, {nearest!r}"
    return right(nearest, reason) if nearest == gold else wrong(nearest, reason)
