"""The rows of a benchmark's TSV file in the form of EvalScope's data sets, made without any code of ours.

MathVista, MathVision, MathVerse and LogicVista have data sets of their own there. We-Math and DynaMath don't: rows with
options go to its general visual multiple choice, and values to MathVision's rules for free answers.
"""

from __future__ import annotations

import ast
import csv
import re
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_LISTED = re.compile(r"\([A-H]\) (.+?)(?= \([A-H]\) |$)|^[A-H]: (.+)$", re.MULTILINE)


def read_tsv(path: Path) -> list[Row]:
    """Return the rows of a TSV file, each with its own (first) picture."""
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file, delimiter="\t")]
    by_index = {row["index"]: row for row in rows}
    return [row | {"image": _picture(row, by_index)} for row in rows]


def _picture(row: Row, by_index: dict[str, Row]) -> str:
    image = row["image"]
    image = ast.literal_eval(image)[0] if image.startswith("[") else image
    return _picture(by_index[image], by_index) if image in by_index else image


def other_rows(benchmark: str, rows: list[Row]) -> list[Row]:
    """Return rows for `kit_side.py`: the data set, the record in its form, the picture, and a name of the group."""
    made = [_RECORDS[benchmark](row) | {"picture": row["image"]} for row in rows]
    return [row | {"group": f"{benchmark} {row['dataset']}"} for row in made]


def _asked(row: Row) -> str:
    """Return the question alone, without VLMEvalKit's hint and options."""
    return row["question"].rpartition("Question: ")[2].partition("\nChoices:")[0]


def _mathvista(row: Row) -> Row:
    record = {name: row.get(name, "") for name in ("question_type", "answer_type", "answer")}
    precision = len(row["answer"].partition(".")[2]) if row["answer_type"] == "float" else 0
    choices = ast.literal_eval(row.get("choices", "[]"))
    record |= {"question": _asked(row), "choices": choices, "precision": float(precision), "metadata": {}}
    return {"dataset": "math_vista", "record": record}


def _mathvision(row: Row) -> Row:
    return _free(_asked(row).partition("\n(A)")[0], row["answer"], ast.literal_eval(row["choices"]))


def _free(question: str, answer: str, options: list[str]) -> Row:
    record: Row = {"question": question, "answer": answer, "options": options, "id": "", "image": "", "solution": ""}
    return {"dataset": "math_vision", "record": record | {"level": 1, "subject": "counting"}}


def _mathverse(row: Row) -> Row:
    names = ("question", "answer", "question_type", "problem_version", "question_for_eval")
    record = {name: row[name] for name in names}
    return {"dataset": "math_verse", "record": record | {"problem_index": row["problem_index"]}}


def _logicvista(row: Row) -> Row:
    record = {"question": row["question"], "answer": row["answer"], "skill": ast.literal_eval(row["skill"])}
    return {"dataset": "logic_vista", "record": record}


def _choice(question: str, answer: str, options: list[str]) -> Row:
    record = {"question": f"<image 1>{question}", "options": options, "answer": answer}
    return {"dataset": "general_vmcq", "record": record}


def _wemath(row: Row) -> Row:
    return _choice(row["question"], row["answer"], [row[letter] for letter in "ABCDEFG" if letter in row])


def _dynamath(row: Row) -> Row:
    question, _, listed = row["question"].partition(" choice: ")
    if row["answer_type"] != "multiple choice":
        return _free(question, row["answer"], [])
    return _choice(question, row["answer"], [one or other for one, other in _LISTED.findall(listed or question)])


_RECORDS = {
    "MathVista": _mathvista,
    "MathVision": _mathvision,
    "MathVerse": _mathverse,
    "DynaMath": _dynamath,
    "WeMath": _wemath,
    "LogicVista": _logicvista,
}
