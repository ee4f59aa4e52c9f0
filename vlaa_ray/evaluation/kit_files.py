"""The files that VLMEvalKit would have written, with its column names and places, for tools that read those.

    kit/MODEL/MODEL_MathVista_MINI.xlsx        the benchmark's columns without `image`, and `prediction`
    kit/MODEL/MODEL_MathVista_MINI_score.csv   the figures

Without the package openpyxl the tables are written as `.tsv`.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.evaluation.answers import AnswerKey
from vlaa_ray.evaluation.questions import BenchmarkQuestions
from vlaa_ray.evaluation.scoring import AnswerSet
from vlaa_ray.storage.atomic import replacing

_MAX_CELL_CHARS = 32_767  # the limit of the format; longer texts would be refused by readers
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_NOT_IN_CELLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]|[\ud800-\udfff]")


def write_kit_files(
    folder: Path, model_name: str, questions: BenchmarkQuestions, answers: AnswerSet, scores: dict[str, Any]
) -> Path:
    """Write the table of a benchmark's answers (those of sample 0) and its figures; return the path of the table.

    `scores` is the entry of that name in `result.json`. Raises OSError if a file can't be written.
    """
    model_name = _NOT_IN_NAMES.sub("-", model_name).strip(".") or "model"
    place = folder / "kit" / model_name
    place.mkdir(parents=True, exist_ok=True)
    stem = f"{model_name}_{questions.suite.kit_name}"
    columns = _columns(questions)
    rows = _table(questions, answers, columns)
    with_excel = importlib.util.find_spec("openpyxl") is not None
    path = place / f"{stem}.{'xlsx' if with_excel else 'tsv'}"
    with replacing(path) as partial:
        (_write_excel if with_excel else _write_tsv)(partial, [*columns, "prediction"], rows)
    with replacing(place / f"{stem}_score.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(scores)
        writer.writerow([f"{score['value']:.4f}" for score in scores.values()])
    return path


def _columns(questions: BenchmarkQuestions) -> list[str]:
    """Return the benchmark's columns in the order in which rows have them, `index` first, without pictures."""
    names = dict.fromkeys(name for row in questions.rows for name in row.fields)
    return ["index", *(name for name in names if name not in ("index", "image", "image_path", "prediction"))]


def _table(questions: BenchmarkQuestions, answers: AnswerSet, columns: Sequence[str]) -> Iterator[list[str]]:
    for row in questions.rows:
        answer = answers.stored.get(AnswerKey(questions.name, row.index, 0))
        cells = {**row.fields, "index": row.index}
        yield [_cell(cells.get(name, "")) for name in columns] + [_cell(answer.prediction if answer else "")]


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return _NOT_IN_CELLS.sub("", text)[:_MAX_CELL_CHARS]


def _write_excel(path: Path, header: Sequence[str], rows: Iterator[list[str]]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append(list(header))
    for row in rows:
        cells = []
        for text in row:
            cell = WriteOnlyCell(sheet, value=text)
            cell.data_type = "s"  # a text that begins with "=" would be a formula
            cells.append(cell)
        sheet.append(cells)
    book.save(path)


def _write_tsv(path: Path, header: Sequence[str], rows: Iterator[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
