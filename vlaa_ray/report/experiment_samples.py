"""The same held-out questions answered by each arm, side by side, for an experiment's page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.report.evaluation_folder import AnsweredRow, read_rows
from vlaa_ray.report.rows_viewer import album_of, cut
from vlaa_ray.report.samples import pieces

MOST_QUESTIONS = 10
_MOST_CHARS = 2500
_PICTURE_CHARS = 8_000_000

Key = tuple[str, str, int]


@dataclass(frozen=True)
class ArmAnswer:
    """The answer of one arm: its pieces (think, answer, plain), its verdict, and its length."""

    arm: str
    pieces: tuple[tuple[str, str], ...]
    verdict: str
    reason: str
    num_tokens: int | None


@dataclass(frozen=True)
class AskedQuestion:
    """A question with its picture (a data URI, "" without one) and the answers of the arms."""

    label: str
    question: str
    gold: str
    picture: str
    answers: tuple[ArmAnswer, ...]


def samples_of(folder: Path, arms: Mapping[str, Mapping[str, Any]]) -> list[AskedQuestion]:
    """Return questions that all arms with an evaluation have answered, those with unlike verdicts first.

    The answers are those of the first seed. Verifier types (or benchmarks) take turns.
    """
    folders = {
        name: folder / next(iter(arm["evaluations"].values())) for name, arm in arms.items() if arm["evaluations"]
    }
    rows = {name: {row.key: row for row in read_rows(path)[0]} for name, path in folders.items()}
    if not rows:
        return []
    common = [key for key in next(iter(rows.values())) if all(key in of_arm for of_arm in rows.values())]
    chosen = _chosen(common, rows)
    first = next(iter(rows))
    album = album_of(folders[first], [rows[first][key] for key in chosen], _PICTURE_CHARS)
    return [_question(key, rows, album.uris) for key in chosen]


def _chosen(keys: Sequence[Key], rows: Mapping[str, Mapping[Key, AnsweredRow]]) -> list[Key]:
    """Return at most 10 questions: from each type in turn the one whose values differ most between arms."""
    first = next(iter(rows.values()))
    by_type: dict[str, list[Key]] = {}
    for key in keys:
        by_type.setdefault(_label(first[key]), []).append(key)
    for of_type in by_type.values():
        of_type.sort(
            key=lambda key: -_spread([of_arm[key] for of_arm in rows.values()])
        )  # stable: the first stay first
    turns = max(map(len, by_type.values()), default=0)
    ordered = [of_type[turn] for turn in range(turns) for of_type in by_type.values() if turn < len(of_type)]
    return ordered[:MOST_QUESTIONS]


def _spread(answers: Sequence[AnsweredRow]) -> float:
    return statistics.pstdev(answer.value or 0.0 for answer in answers)


def _label(row: AnsweredRow) -> str:
    return dict(row.categories).get("verifier type", row.benchmark)


def _question(key: Key, rows: Mapping[str, Mapping[Key, AnsweredRow]], uris: Mapping[str, str]) -> AskedQuestion:
    row = next(iter(rows.values()))[key]
    answers = tuple(_answer(name, of_arm[key]) for name, of_arm in rows.items())
    picture = next((uris[name] for name in row.images if name in uris), "")
    return AskedQuestion(_label(row), cut(row.question, _MOST_CHARS), cut(row.gold, _MOST_CHARS), picture, answers)


def _answer(arm: str, row: AnsweredRow) -> ArmAnswer:
    return ArmAnswer(arm, pieces(cut(row.prediction, _MOST_CHARS)), row.verdict, cut(row.reason, 300), row.num_tokens)
