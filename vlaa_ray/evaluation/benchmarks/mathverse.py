"""MathVerse, the 788 rows of testmini's version "Vision Only" (ZrrSkywalker/MathVerse): the question is in the picture.

An option is right by its letter. A free answer is right if it is the gold as text or as mathematics. If it isn't, and
both are plain numbers, it is wrong; anything else is left to a judge, as VLMEvalKit leaves it. (VLMEvalKit always asks
a judge, once for the answer and once whether it means the gold.) Rows of other versions belong to other benchmarks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from vlaa_ray.data.formats.fields import mapping
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part, stated_answer, without_reason
from vlaa_ray.evaluation.benchmarks.base import Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, options_in, plain_text
from vlaa_ray.evaluation.benchmarks.files import Fields
from vlaa_ray.evaluation.benchmarks.judging import RIGHT, WRONG, short_reply, verdict_messages
from vlaa_ray.evaluation.benchmarks.kit import KitBenchmark, judged, labels
from vlaa_ray.evaluation.benchmarks.values import equal_in_maths, number_in
from vlaa_ray.evaluation.benchmarks.verdicts import graded, right, unsettled, wrong

_VERSION = "visiononly"


class MathVerse(KitBenchmark):
    """MathVerse, vision only; `overall` is the accuracy that the leaderboard counts."""

    name: ClassVar[str] = "MathVerse"
    kit_name: ClassVar[str] = "MathVerse_MINI_Vision_Only"
    files: ClassVar[tuple[str, ...]] = ("MathVerse_MINI.tsv", "testmini.json", "testmini*.parquet", "mathverse*.json*")
    known_by: ClassVar[tuple[str, ...]] = ("problem_version", "question_for_eval", "query_cot")

    def fields_of(self, record: Fields, file: Path) -> Fields | None:
        """Return a record's columns under VLMEvalKit's names; None for another version of its question."""
        version = record.get("problem_version")
        if not is_missing(version) and "".join(str(version).lower().split()).replace("_", "") != _VERSION:
            return None
        return super().fields_of(record, file)

    def from_official(self, record: Fields, file: Path) -> Fields:
        """Return the columns of a record with `sample_index`, `query_cot` and `metadata`."""
        question = next((record[name] for name in ("query_cot", "question") if not is_missing(record.get(name))), None)
        return record | {"index": record.get("sample_index"), "question": question}

    def is_choice(self, fields: Fields) -> bool:
        """Return whether the row asks to choose: by its type, or else because the gold is the letter of an option."""
        kind = fields.get("question_type")
        return "choice" in str(kind) if not is_missing(kind) else str(fields.get("answer")) in self.options(fields)

    def options(self, fields: Fields) -> Options:
        """Return the options that the question for the judge lists; the model sees them in the picture alone."""
        return options_in(str(fields.get("question_for_eval") or fields.get("question") or ""))

    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the answer is the gold as text or as mathematics."""
        gold, final = self.gold(fields), final_part(stated)
        final = final._replace(text=without_reason(final.text))
        if plain_text(final.text) == plain_text(gold) or equal_in_maths(final.text, gold):
            return right(final.text)
        number, target = number_in(final.text), number_in(gold)
        if final.marked and number is not None and target is not None and number != target:
            return graded(False, final.text, gold)
        return unsettled(final.text, "no rule tells whether the answer means the gold")

    def judge_messages(self, row: Row, prediction: str) -> list[dict[str, Any]] | None:
        """Return what to ask a judge: which option the answer chooses, or whether its result means the gold."""
        if self.is_choice(row.fields) or not stated_answer(prediction).text:
            return super().judge_messages(row, prediction)
        asked = str(row.fields.get("question_for_eval") or self.wording(row.fields))
        return verdict_messages(asked, self.gold(row.fields), prediction)

    def judge_score(self, row: Row, reply: str) -> RowScore:
        """Return the verdict that a judge's one word states, or what its letter makes of a choice."""
        if self.is_choice(row.fields):
            return super().judge_score(row, reply)
        word = (short_reply(reply) or "").upper()
        if word not in (RIGHT, WRONG):
            return unsettled(None, f"the judge's reply is neither {RIGHT} nor {WRONG}")
        reason = "the judge finds that the answer doesn't mean the gold"
        return judged(right(None) if word == RIGHT else wrong(None, reason))

    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's subject and subfield."""
        try:
            metadata = mapping(row.fields.get("metadata")) or {}
        except ValueError as error:
            raise DataError(f"the column metadata can't be read: {error}", index=row.index) from error
        found = {name: labels(metadata.get(name, row.fields.get(name))) for name in ("subject", "subfield")}
        return {category: names for category, names in found.items() if names}
