"""We-Math, testmini (We-Math/We-Math): 525 problems of two or three steps, asked as a whole and step by step.

Each problem has a class, by its steps S and its whole M:

- IK, insufficient knowledge: a step is wrong, and M is wrong
- IG, inadequate generalization: all steps are right, but M is wrong
- CM, complete mastery: all steps and M are right
- RM, rote memorization: a step is wrong, but M is right

In the loose count, a right M with at least one right step is CM, and only one without any is RM. The score is
(CM + IG / 2) / problems, as VLMEvalKit computes it. (It divides by 525 whatever the file holds, counts a problem that
lacks a row as none of the classes, and draws an option at random if its judge fails. None of this is done here.)
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated
from vlaa_ray.evaluation.benchmarks.base import GradedRow, Row, RowScore
from vlaa_ray.evaluation.benchmarks.choices import Options, options_of
from vlaa_ray.evaluation.benchmarks.files import Fields
from vlaa_ray.evaluation.benchmarks.kit import KitBenchmark, labels
from vlaa_ray.evaluation.benchmarks.summaries import checked, is_right, percent, share

_KEY = re.compile(r"([23])steps_([123]|multi)")
_WHOLE = "multi"
_SHOWN = 5
_log = logging.getLogger(__name__)


class WeMath(KitBenchmark):
    """We-Math; `score_strict` is the figure that the leaderboard counts."""

    name: ClassVar[str] = "WeMath"
    kit_name: ClassVar[str] = "WeMath"
    headline: ClassVar[str] = "score_strict"
    files: ClassVar[tuple[str, ...]] = ("testmini.json", "testmini*.parquet", "we*math*.json*")
    known_by: ClassVar[tuple[str, ...]] = ("key",)
    needed: ClassVar[tuple[str, ...]] = ("question", "answer", "key", "ID")

    def fields_of(self, record: Fields, file: Path) -> Fields | None:
        """Return a record's columns under VLMEvalKit's names. Raises DataError if its key is not one of We-Math's."""
        fields = super().fields_of(record, file)
        if fields is not None:
            _parts(fields)
        return fields

    def from_official(self, record: Fields, file: Path) -> Fields:
        """Return the columns of a record with `ID`, `key` and `option`; its index is made of the first two."""
        options = options_of({"option": record.get("option")})
        index = None if is_missing(record.get("ID")) else f"{record['ID']}_{record.get('key')}"
        return {name: value for name, value in record.items() if name != "option"} | options | {"index": index}

    def is_choice(self, fields: Fields) -> bool:
        """Return True, because every row asks to choose an option."""
        return True

    def options(self, fields: Fields) -> Options:
        """Return the options of the columns A, B, C …."""
        return options_of(fields)

    def wording(self, fields: Fields) -> str:
        """Return VLMEvalKit's words: the hint, the question, and the options, one a line."""
        hint = fields.get("hint")
        listed = "".join(f"{letter}. {text}\n" for letter, text in self.options(fields).items())
        before = "" if is_missing(hint) else f"Hint: {hint}\n"
        return f"{before}Question: {fields['question']}\n" + (f"Options:\n{listed}" if listed else "")

    def score_value(self, fields: Fields, stated: Stated) -> RowScore:
        """Return what `score_choice` returns, because every row is a choice."""
        return self.score_choice(fields, stated)

    def summary(self, graded: Sequence[GradedRow]) -> dict[str, float]:
        """Return `score_strict`, `score_loose`, and the shares of the classes in percent.

        `rm_rate` is RM / (CM + RM), as the authors report it. `one_step`, `two_step` and `three_step` are accuracies of
        rows, `overall` is that of all. A row that is missing counts as wrong; `incomplete` is the share of problems
        that lack one.

        Raises DataError if a row occurs twice.
        """
        problems: dict[str, dict[str, bool]] = defaultdict(dict)
        for one in checked(graded):
            steps, part = _parts(one.row.fields)
            parts = problems[self.cluster(one.row)]
            if part in parts:
                raise DataError(f"a We-Math problem has its part {steps}steps_{part} twice", index=one.row.index)
            parts[part] = is_right(one)
        _name_incomplete(problems)
        return {"overall": share(graded)} | _scores(problems) | _by_steps(graded)

    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's knowledge concept, and its number of steps."""
        steps, part = _parts(row.fields)
        return {
            "knowledge": labels(row.fields.get("knowledge concept")),
            "steps": [f"{steps} steps" if part == _WHOLE else "1 step"],
        }

    def cluster(self, row: Row) -> str:
        """Return the row's problem, which an interval draws with all its steps."""
        return f"{_parts(row.fields)[0]}steps/{row.fields['ID']}"


def _parts(fields: Fields) -> tuple[str, str]:
    """Return (number of steps, which part of the problem it is) of a row's key, such as `2steps_1`."""
    match = _KEY.fullmatch(str(fields.get("key", "")).strip())
    if match is None or match[2] == "3" > match[1]:
        expected = "2steps_1, 2steps_2, 2steps_multi, 3steps_1, 3steps_2, 3steps_3 or 3steps_multi"
        raise DataError("the key of a We-Math row is unknown", got=str(fields.get("key"))[:80], expected=expected)
    return match[1], match[2]


def _wanted(problem: str) -> list[str]:
    return [*"123"[: int(problem[0])], _WHOLE]


def _name_incomplete(problems: Mapping[str, Mapping[str, bool]]) -> None:
    lacking = [name for name, parts in problems.items() if len(parts) < len(_wanted(name))]
    if lacking:
        shown = ", ".join(lacking[:_SHOWN]) + (" …" if len(lacking) > _SHOWN else "")
        _log.warning("We-Math: %d problems lack rows, which count as wrong: %s", len(lacking), shown)


def _scores(problems: Mapping[str, Mapping[str, bool]]) -> dict[str, float]:
    strict, loose = Counter[str](), Counter[str]()
    for name, parts in problems.items():
        steps = [parts.get(part, False) for part in _wanted(name)[:-1]]
        if parts.get(_WHOLE, False):
            strict["cm" if all(steps) else "rm"] += 1
            loose["cm" if any(steps) else "rm"] += 1
        else:
            strict["ig" if all(steps) else "ik"] += 1
    loose |= Counter({"ig": strict["ig"]})
    figures = {}
    for count, counted in (("strict", strict), ("loose", loose)):
        figures[f"score_{count}"] = percent(counted["cm"] + counted["ig"] / 2, len(problems))
        figures[f"cm_{count}"] = percent(counted["cm"], len(problems))
        figures[f"rm_{count}"] = percent(counted["rm"], len(problems))
        figures[f"rm_rate_{count}"] = percent(counted["rm"], counted["cm"] + counted["rm"])
    lacking = sum(len(parts) < len(_wanted(name)) for name, parts in problems.items())
    figures |= {name: percent(strict[name], len(problems)) for name in ("ik", "ig")}
    return figures | {"incomplete": percent(lacking, len(problems))}


def _by_steps(graded: Sequence[GradedRow]) -> dict[str, float]:
    groups: dict[str, list[GradedRow]] = defaultdict(list)
    for one in graded:
        steps, part = _parts(one.row.fields)
        groups[steps if part == _WHOLE else "1"].append(one)
    names = {"1": "one_step", "2": "two_step", "3": "three_step"}
    return {name: share(groups[steps]) for steps, name in names.items() if groups[steps]}
