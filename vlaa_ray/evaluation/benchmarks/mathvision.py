r"""MathVision, its 3,040 rows of the full test (mathllm/MATH-V): five options, or a free answer.

An option is right by its letter; its text or its value counts as its letter. A free answer is right if it is the gold
as text, or equal as mathematics, or if both are numbers that differ by less than 1e-6.

Differences from others, which can be seen row by row:

- The official scorer rounds numbers to 2 decimals, so that 0.67 equals 2/3. Here 0.67 is right only where the gold is
  0.67, as in VLMEvalKit.
- Both others run the answer as Python. Here units are read ("8 kg" is 8 \mathrm{~kg}), and nothing is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part, without_reason
from vlaa_ray.evaluation.benchmarks.base import Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, options_of, plain_text
from vlaa_ray.evaluation.benchmarks.files import Fields
from vlaa_ray.evaluation.benchmarks.kit import KitBenchmark, labels
from vlaa_ray.evaluation.benchmarks.values import equal_in_maths, number_in
from vlaa_ray.evaluation.benchmarks.verdicts import graded_if_marked, right, unsettled

_TOLERANCE = 1e-6
_CHOOSE = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."
_ANSWER = "Hint: Please answer the question and provide the final answer at the end."


class MathVision(KitBenchmark):
    """MathVision's full test; `overall` is the accuracy that the leaderboard counts."""

    name: ClassVar[str] = "MathVision"
    kit_name: ClassVar[str] = "MathVision"
    files: ClassVar[tuple[str, ...]] = ("test.jsonl", "test-*.parquet", "math*vision*.json*", "math-v*.json*")
    known_by: ClassVar[tuple[str, ...]] = ("choices", "options", "category", "subject")

    def from_official(self, record: Fields, file: Path) -> Fields:
        """Return the columns of a record with `id`, `options`, `subject` and `level`; the options go into the question.

        The words around them are VLMEvalKit's.
        """
        options = options_of(record)
        listed = "".join(f"\n({letter}) {text}" for letter, text in options.items())
        asked = f"{_CHOOSE if options else _ANSWER}\nQuestion: {record.get('question', '')}"
        question = f"{asked}\nChoices:{listed}" if options else asked
        fields = {name: value for name, value in record.items() if name != "options"}
        fields |= {"index": record.get("id"), "category": record.get("subject"), "choices": list(options.values())}
        return fields | {"question": None if is_missing(record.get("question")) else question}

    def is_choice(self, fields: Fields) -> bool:
        """Return whether the row has options."""
        return bool(options_of(fields))

    def options(self, fields: Fields) -> Options:
        """Return the options of the column `choices`."""
        return options_of(fields)

    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the answer is the gold as text, as mathematics, or as a number within 1e-6."""
        gold, final = self.gold(fields), final_part(stated)
        final = final._replace(text=without_reason(final.text))
        if plain_text(final.text) == plain_text(gold):
            return right(final.text)
        number, target = number_in(final.text), number_in(gold)
        if number is not None and target is not None and abs(number - target) < _TOLERANCE:
            return right(final.text)
        equal = equal_in_maths(final.text, gold)
        if equal is None:
            return unsettled(final.text, "no rule can compare the answer with the gold")
        return graded_if_marked(equal, final, gold)

    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's subject, and its level where the file tells it."""
        found = {"subject": labels(row.fields.get("category")), "level": labels(row.fields.get("level"))}
        return {category: names for category, names in found.items() if names}
