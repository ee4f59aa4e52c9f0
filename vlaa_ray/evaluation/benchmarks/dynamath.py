r"""DynaMath, 501 seed questions in 10 variants each (DynaMath/DynaMath): floats, options and short texts.

The leaderboard counts the worst case: a seed question is right only if all its variants are. The answer stands in JSON
under "short answer"; an answer without JSON is read as in the other benchmarks. A float is right if it differs from the
gold by at most 0.001; "2π" is a float, too. An option is right by its letter.

Differences from VLMEvalKit, which can be seen row by row:

- It counts a text as right if it is a part of the gold, also "e" for "even", and the empty text always. Here the text
  must be the gold, or equal to it as mathematics. The gold among other words is left to a judge.
- It takes the first word of a float ("4.5 or 5" is 4.5). Here that states no single number, and is left to a judge.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part, without_remark
from vlaa_ray.evaluation.benchmarks.base import GradedRow, Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, options_in, options_of, plain_text
from vlaa_ray.evaluation.benchmarks.files import Fields
from vlaa_ray.evaluation.benchmarks.kit import KitBenchmark, labels
from vlaa_ray.evaluation.benchmarks.summaries import checked, is_right, percent, share
from vlaa_ray.evaluation.benchmarks.values import equal_as_formula, equal_in_maths, is_formula, number_in
from vlaa_ray.evaluation.benchmarks.verdicts import graded_if_marked, right, unsettled

_TOLERANCE = Fraction(1, 1000)
_SHORT_ANSWER = re.compile(r'["\']?short[ _]answer["\']?\s*:\s*(?:"((?:[^"\\]|\\.){0,2000})"|([^",}\n]{1,200}))', re.I)
_GUIDE = (
    "\n## Answer Instruction Please provide an answer to the question outlined above. Your response should adhere to "
    "the following JSON format, which includes two keys: 'solution' and 'short answer'. The 'solution' key can contain "
    "detailed steps needed to solve the question, and the 'short answer' key should provide a concise response. {}\n\n"
    "Example of expected JSON response format:\n\n"
)
_EXAMPLE = '{\n    "solution": "[Detailed step-by-step explanation]",\n    "short answer": "[Concise Answer]"\n}'
_CHOICE, _FLOAT = "multiple choice", "float"
_FORMS = {
    _CHOICE: "Provide the corresponing choice option in the 'short answer' key, such as 'A', 'B', 'C', or 'D'.",
    _FLOAT: "Format the answer as a three-digit floating-point number and provide it in the 'short answer' key.",
}
_OTHER_FORM = "Float numbers in the answer should be formatted as three-digit floating-point numbers."
_log = logging.getLogger(__name__)


class DynaMath(KitBenchmark):
    """DynaMath; the leaderboard counts `worst_case`; `average` and `overall` are the accuracy of rows."""

    name: ClassVar[str] = "DynaMath"
    kit_name: ClassVar[str] = "DynaMath"
    headline: ClassVar[str] = "worst_case"
    files: ClassVar[tuple[str, ...]] = ("sample_variant*", "dynamath*.json*")
    known_by: ClassVar[tuple[str, ...]] = ("varid", "qid", "answer_type")
    needed: ClassVar[tuple[str, ...]] = ("question", "answer", "answer_type", "qid", "varid")

    def from_official(self, record: Fields, file: Path) -> Fields:
        """Return the columns of a record with `id`, `subject` and `level`; the file's name has the variant's number."""
        variant = record.get("varid") or "".join(re.findall(r"variant[_ ]?(\d+)", file.name, re.IGNORECASE)[:1]) or "1"
        seed = record.get("id")
        index = None if is_missing(seed) else f"{seed}_{variant}"
        return record | {"index": index, "qid": seed, "varid": variant, "knowledge_level": record.get("level")}

    def is_choice(self, fields: Fields) -> bool:
        """Return whether the row asks to choose an option."""
        return str(fields.get("answer_type")) == _CHOICE

    def options(self, fields: Fields) -> Options:
        """Return the options of their own columns, or those that the question lists."""
        return options_of(fields) or options_in(str(fields.get("question", "")))

    def wording(self, fields: Fields) -> str:
        """Return VLMEvalKit's words, which ask for JSON."""
        form = _FORMS.get(str(fields.get("answer_type")), _OTHER_FORM)
        return f"## Question\n {fields['question']}{_GUIDE.format(form)}{_EXAMPLE}"

    def score_choice(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the option that the short answer chooses is the right one."""
        return super().score_choice(fields, _short(stated))

    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return whether the short answer is the gold: within 0.001 for a float, else as text or as mathematics."""
        gold, final = self.gold(fields), final_part(_short(stated))
        if str(fields.get("answer_type")) == _FLOAT:
            target, number = number_in(gold), number_in(without_remark(final.text))
            if target is None:
                raise DataError("the gold of a float is no number", got=gold[:80])
            if number is None:
                if final.marked and equal_as_formula(final.text, gold):
                    return right(final.text)
                return unsettled(None, "no rule finds a single number in the answer")
            return graded_if_marked(abs(number - target) <= _TOLERANCE, final, gold)
        equal = plain_text(final.text) == plain_text(gold) or bool(equal_in_maths(final.text, gold))
        if not equal and not is_formula(gold) and re.search(rf"\b{re.escape(gold)}\b", final.text, re.IGNORECASE):
            return unsettled(final.text, "the answer has the gold among other words")
        return graded_if_marked(equal, final, gold)

    def summary(self, graded: Sequence[GradedRow]) -> dict[str, float]:
        """Return in percent `worst_case`, the share of seed questions that are right in all variants, and `average`.

        A seed question that lacks variants which others have is not right; `incomplete` is the share of these.
        """
        seeds: dict[str, list[GradedRow]] = defaultdict(list)
        for one in checked(graded):
            seeds[self.cluster(one.row)].append(one)
        most = max(map(len, seeds.values()))
        lacking = sum(len(rows) < most for rows in seeds.values())
        if lacking:
            _log.warning("DynaMath: %d of %d seed questions lack variants, and count as wrong", lacking, len(seeds))
        whole = sum(len(rows) == most and all(map(is_right, rows)) for rows in seeds.values())
        figures = {"overall": share(graded), "average": share(graded), "worst_case": percent(whole, len(seeds))}
        return figures | {"incomplete": percent(lacking, len(seeds))}

    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's subject and level."""
        found = {"subject": row.fields.get("subject"), "level": row.fields.get("knowledge_level")}
        return {category: labels(value) for category, value in found.items() if not is_missing(value)}

    def cluster(self, row: Row) -> str:
        """Return the row's seed question, which an interval draws with all its variants."""
        return str(row.fields["qid"])


def _short(stated: Stated) -> Stated:
    r"""Return the last "short answer" of JSON, or the text itself. LaTeX in it breaks JSON, but is read as well."""
    found = list(_SHORT_ANSWER.finditer(stated.text))
    if not found:
        return stated
    text = (found[-1][1] if found[-1][1] is not None else found[-1][2]).strip()
    return Stated(text.replace("\\\\", "\\").replace('\\"', '"').strip("' "), True)


def dynamath_summary(grades: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return `average` and `worst_case` in percent, of one row of grades (0 or 1) for each seed question.

    Raises DataError if there is no grade, if a seed question has none, or if a grade is neither 0 nor 1.
    """
    if not grades or not all(len(row) for row in grades):
        raise DataError("a seed question has no grades", fix="give each at least one")
    flat = [grade for row in grades for grade in row]
    if any(grade not in (0, 1) for grade in flat):
        raise DataError("a grade is neither 0 nor 1", fix="grade each variant right or wrong")
    return {"average": percent(sum(flat), len(flat)), "worst_case": percent(sum(map(all, grades)), len(grades))}
