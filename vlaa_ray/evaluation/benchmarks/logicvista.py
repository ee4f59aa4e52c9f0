"""LogicVista (Yijia-Xiao/LogicVista), 448 rows: one option or several, by five skills.

An answer is right if it names exactly the gold's letters, in any order. VLMEvalKit always asks a judge for the letters;
here a judge is asked where the answer names none. Some golds are digits ("3"), which are compared as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part, stated_answer
from vlaa_ray.evaluation.benchmarks.base import Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, chosen, letter_in, opening_letter, options_in
from vlaa_ray.evaluation.benchmarks.files import Fields
from vlaa_ray.evaluation.benchmarks.judging import choice_messages
from vlaa_ray.evaluation.benchmarks.kit import KitBenchmark, labels
from vlaa_ray.evaluation.benchmarks.values import number_in
from vlaa_ray.evaluation.benchmarks.verdicts import graded, unsettled
from vlaa_ray.rewards.verifiers.letters import read_letters
from vlaa_ray.text.placeholders import without_images

_ABBREVIATION = re.compile(r"\b[A-Z]&[A-Z]\b|\bA\.?I\b")
_SPLIT = re.compile(r"[\s,;]+")


class LogicVista(KitBenchmark):
    """LogicVista; `overall` is the accuracy that the leaderboard counts."""

    name: ClassVar[str] = "LogicVista"
    kit_name: ClassVar[str] = "LogicVista"
    files: ClassVar[tuple[str, ...]] = ("dataset.json", "logicvista*.json*", "logicvista*.parquet")
    known_by: ClassVar[tuple[str, ...]] = ("skill", "imagename")

    def from_official(self, record: Fields, file: Path) -> Fields:
        """Return the columns of a record of the official mapping, whose key is its index."""
        return record | {"index": record.get("id")}

    def is_choice(self, fields: Fields) -> bool:
        """Return True, because every row asks to choose options."""
        return True

    def options(self, fields: Fields) -> Options:
        """Return the options that the question lists; most stand in the picture alone."""
        return options_in(str(fields.get("question", "")))

    def right_option(self, fields: Fields) -> str:
        """Return the right letters or digits, in order, such as "AC". Raises DataError for another gold."""
        gold = fields.get("answer")
        parts = gold if isinstance(gold, Sequence) and not isinstance(gold, str) else _SPLIT.split(self.gold(fields))
        marks = [str(part).strip("() .").upper() for part in parts if str(part).strip("() .")]
        if not marks or any(len(mark) != 1 or not mark.isalnum() for mark in marks):
            raise DataError("the gold names no options", got=str(gold)[:80], expected="letters, such as `B` or `A, C`")
        return "".join(sorted(set(marks)))

    def score_choice(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the answer names exactly the right letters."""
        right = self.right_option(fields)
        if right.isdigit():
            number = number_in(final_part(stated).text)
            return (
                unsettled(None, "no rule finds the number")
                if number is None
                else graded(number == int(right), str(number), right)
            )
        named = _named(stated, self.options(fields))
        if not named:
            return unsettled(None, "no rule finds the options that the answer chooses")
        return graded(named == right, named, right)

    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return what `score_choice` returns, because every row is a choice."""
        return self.score_choice(fields, stated)

    def judge_messages(self, row: Row, prediction: str) -> list[dict[str, Any]] | None:
        """Return what to ask a judge: which options the answer chooses; None without an answer."""
        if not stated_answer(prediction).text:
            return None
        question = without_images(self.wording(row.fields))
        return choice_messages(question, self.options(row.fields), prediction, several=True)

    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's skills."""
        return {"skill": labels(row.fields.get("skill"))}


def _named(stated: Stated, options: Options) -> str:
    """Return the letters that an answer names, in order; that of the option whose text it is, if it names none.

    Where the words settle on one letter ("A, rather than B"), it is the only one. Options that the answer repeats from
    its picture count as the question's.
    """
    stated = Stated(_ABBREVIATION.sub(" ", stated.text), stated.marked)
    final = final_part(stated)
    listed = options or options_in(stated.text)
    letter = opening_letter(stated, final) or letter_in(final.text)
    named = {letter} if letter else read_letters(final.text)
    if not named and listed and (found := chosen(final, listed)):
        named = {found}
    if not named and not final.marked:
        letter = letter_in(stated.text)
        named = {letter} if letter else set()
    return "".join(sorted(named))
