"""What the six benchmarks share: reading, the places of pictures, the order of the rules, and the judge.

A benchmark says where its gold and its options stand, how its question is worded, and how a value is compared.

Differences from VLMEvalKit in all six: a thought is never read as an answer, and of several tagged answers the last
counts (it reads the whole text if there isn't exactly one); an empty answer is wrong; no verdict is drawn at random; no
row is dropped because it lacks a picture. Where its rules settle a row, these settle it in the same way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from vlaa_ray.data.formats.fields import literal
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import ConfigError, DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, stated_answer
from vlaa_ray.evaluation.benchmarks.base import STYLES, Benchmark, GradedRow, Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, chosen
from vlaa_ray.evaluation.benchmarks.files import Fields, read_rows
from vlaa_ray.evaluation.benchmarks.judging import NONE, choice_messages, short_reply, value_messages
from vlaa_ray.evaluation.benchmarks.summaries import checked, share
from vlaa_ray.evaluation.benchmarks.verdicts import NO_ANSWER, graded, unsettled, wrong
from vlaa_ray.text.placeholders import IMAGE, without_images

_ALL_LETTERS: Options = {letter: "" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class KitBenchmark(Benchmark):
    """A benchmark whose rows have VLMEvalKit's columns, and either choose an option or state a value."""

    files: ClassVar[tuple[str, ...]]
    """Patterns of the names that its authors' files have."""
    needed: ClassVar[tuple[str, ...]] = ("question", "answer")
    """The columns that every row must have."""
    known_by: ClassVar[tuple[str, ...]]
    """Columns of which every row has at least one, so that a file of another benchmark is noticed."""

    def read(self, path: Path) -> list[Row]:
        """Return the rows of VLMEvalKit's TSV file or of the authors' files, as the base class says."""
        return read_rows(self, path)

    def fields_of(self, record: Fields, file: Path) -> Fields | None:
        """Return a record's columns under VLMEvalKit's names; None if the record isn't in the benchmark.

        Raises DataError if the record is another benchmark's, lacks a column, or has a gold that isn't an option.
        """
        fields = self.from_official(record, file) if "index" not in record else dict(record)
        if fields is None:
            return None
        missing = [name for name in self.needed if is_missing(fields.get(name))]
        if missing:
            message = f"the row lacks {', '.join(missing)}"
            raise DataError(message, got=sorted(map(str, record)), expected=list(self.needed))
        if not set(self.known_by) & record.keys():
            fix = f"name a file of {self.name}"
            got, expected = sorted(map(str, record)), list(self.known_by)
            raise DataError(f"the row has no column that tells {self.name}", got=got, expected=expected, fix=fix)
        if self.is_choice(fields):
            self.right_option(fields)
        return fields

    @abstractmethod
    def from_official(self, record: Fields, file: Path) -> Fields | None:
        """Return the columns of a record of the authors' file under VLMEvalKit's names; None if it isn't a row."""

    @abstractmethod
    def is_choice(self, fields: Fields) -> bool:
        """Return whether the row asks to choose an option."""

    @abstractmethod
    def options(self, fields: Fields) -> Options:
        """Return the row's options; empty if they stand in its picture alone."""

    def wording(self, fields: Fields) -> str:
        """Return the text that is asked: here the question as it is."""
        return str(fields["question"])

    def question(self, row: Row, style: str) -> str:
        """Return the text that a model is asked, with `<image>` at the place of each picture.

        The paper asked its questions through VLMEvalKit, so both styles have the kit's words. (Its system prompt, its
        pixels and its tokens differ; they are settings of an evaluation.)

        Raises ConfigError for an unknown style.
        """
        if style not in STYLES:
            raise ConfigError(
                f"unknown prompt style {style!r}", expected=list(STYLES), fix=f"use {' or '.join(STYLES)}"
            )
        text = self.wording(row.fields)
        if IMAGE in text and text.count(IMAGE) == len(row.images):
            return text
        text = without_images(text) if IMAGE in text else text
        return f"{IMAGE * len(row.images)}{text}"

    def score(self, fields: Fields, prediction: str) -> RowScore:
        """Return the verdict of the rules, as the base class says. A model that only thought gave no answer."""
        stated = stated_answer(prediction)
        try:
            self.gold(fields)
            if not stated.text:
                return wrong(None, NO_ANSWER if not prediction.strip() else f"{NO_ANSWER} after its thought")
            return self.score_choice(fields, stated) if self.is_choice(fields) else self.score_value(fields, stated)
        except DataError as error:
            return unsettled(stated.text, error.one_line())

    def gold(self, fields: Fields) -> str:
        """Return the gold as text. Raises DataError if the row has none."""
        if is_missing(fields.get("answer")):
            raise DataError("the row has no gold", index=str(fields.get("index", "")), expected="a column `answer`")
        return str(fields["answer"]).strip()

    def right_option(self, fields: Fields) -> str:
        """Return the letter of the right option. Raises DataError if the gold is not one of the row's letters."""
        gold, options = self.gold(fields).strip("() ."), self.options(fields) or _ALL_LETTERS
        if gold.upper() not in options:
            raise DataError("the gold is not the letter of an option", got=gold[:80], expected=list(options))
        return gold.upper()

    def score_choice(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the option that the answer chooses is the right one."""
        right = self.right_option(fields)
        letter = chosen(stated, self.options(fields) or _ALL_LETTERS)
        if letter is None:
            return unsettled(None, "no rule finds the option that the answer chooses")
        return graded(letter == right, letter, right)

    @abstractmethod
    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the value that the answer states is the gold."""

    def judge_messages(self, row: Row, prediction: str) -> list[dict[str, Any]] | None:
        """Return what to ask a judge: which option the answer chooses, or which value it states."""
        if not stated_answer(prediction).text:
            return None
        question = without_images(self.wording(row.fields))
        if self.is_choice(row.fields):
            return choice_messages(question, self.options(row.fields), prediction)
        return value_messages(question, prediction)

    def judge_score(self, row: Row, reply: str) -> RowScore:
        """Return the verdict on the option or the value that a judge read in the answer, by the same rules."""
        said = short_reply(reply)
        if said is None:
            return unsettled(None, "the judge's reply is empty or too long to be an answer")
        if said.upper() == NONE:
            return judged(wrong(None, "the judge found no answer"))
        return judged(self.score(row.fields, f"<answer>{said}</answer>"))

    def summary(self, graded: Sequence[GradedRow]) -> dict[str, float]:
        """Return the share of right rows in percent, as `overall`."""
        return {"overall": share(checked(graded))}


def judged(score: RowScore) -> RowScore:
    """Return a verdict as the judge's; one that is not settled stays so."""
    if score.correct is None:
        return replace(score, reason=f"the judge's reply settles nothing: {score.reason}")
    return replace(score, settled_by="judge")


def labels(value: Any) -> list[str]:
    """Return the labels of a column: the items of a list, which may stand in text, or the only one."""
    value = literal(value)
    items = value if isinstance(value, list | tuple) else [value]
    return [str(item).strip() for item in items if not is_missing(item)]
