r"""The kinds of answers on which our rules and EvalScope's differ, and why ours settle them as they do.

    kind_of(row).name   -> "answer tags"

Each kind has a test on the row alone, so that a disagreement of a new kind has no name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""`benchmark`, `choice`, `gold`, `prediction`; `ours` and `kit` (right, wrong or None); `extracted` by EvalScope."""


@dataclass(frozen=True)
class Kind:
    """A kind of disagreement: its name, who decides otherwise and why, and a test whether a row is of it."""

    name: str
    why: str
    matches: Callable[[Row], bool]


def kind_of(row: Row) -> Kind | None:
    """Return the first kind that a disagreement is of; None for one that has no name."""
    return next((kind for kind in KINDS if kind.matches(row)), None)


def _has(pattern: str, flags: int = 0) -> Callable[[Row], bool]:
    compiled = re.compile(pattern, flags)
    return lambda row: compiled.search(row["prediction"]) is not None


def _is_text_of_option(row: Row) -> bool:
    """Return whether our rules found an option by its text or value: the kit wants a letter."""
    return row["choice"] and row["ours"] is True and not re.search(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", _end(row))


def _is_small_letter(row: Row) -> bool:
    return row["choice"] and re.fullmatch(r"\W*[a-h](?:\W+[a-h])*\W*", _end(row)) is not None


def _end(row: Row) -> str:
    """Return the end of an answer: its last line, in it what follows "is", or what stands in its box."""
    last = row["prediction"].strip().rpartition("\n")[2]
    boxed = re.search(r"boxed\{(.*)\}", last)
    return boxed[1] if boxed else re.split(r"\bis\b", last)[-1]


def _is_several(row: Row) -> bool:
    """Return whether an answer names several options without saying that they are all meant."""
    return row["choice"] and len(set(re.findall(r"\b[A-H]\b", row["prediction"]))) > 1


def _is_last_number(row: Row) -> bool:
    """Return whether the kit took a number behind the stated one."""
    numbers = re.findall(r"\d+(?:\.\d+)?", row["prediction"])
    return not row["choice"] and row["ours"] is not None and row["extracted"] in numbers[1:]


def _within_tolerance(row: Row) -> bool:
    """Return whether numbers differ by no more than the benchmark allows."""
    if row["choice"] or row["benchmark"] not in ("MathVista", "DynaMath") or row["ours"] is not True:
        return False
    found = re.fullmatch(r"\D*(\d+\.\d+)\D*", row["prediction"])
    digits = len(row["gold"].partition(".")[2])
    allowed = 0.001 if row["benchmark"] == "DynaMath" else 0.5 / 10**digits
    return found is not None and 0 < abs(float(found[1]) - float(row["gold"])) <= allowed


KINDS = (
    Kind(
        "thought without an answer",
        "The model gave no answer; EvalScope reads the thought.",
        _has(r"<think>(?!.*</think>.*\S)", re.DOTALL),
    ),
    Kind(
        "answer tags",
        "The answer between the tags is the answer; EvalScope does not know the tags.",
        _has(r"<answer>"),
    ),
    Kind(
        "JSON",
        "DynaMath asks for JSON with a short answer; EvalScope takes the first number of the text.",
        _has(r'"short answer"'),
    ),
    Kind(
        "next question",
        "The model goes on with a question of its own; EvalScope takes that one's answer.",
        _has(r"\nQuestion:"),
    ),
    Kind(
        "explanation behind the answer",
        "The answer stands before the explanation; EvalScope takes the last capital letter or the last number.",
        _has(r"\n\nExplanation:|, because "),
    ),
    Kind(
        "denied",
        "What the answer is not, it is not; EvalScope reads the denied number or letter.",
        _has(r"\bnot\b|\brather than\b"),
    ),
    Kind(
        "option by its text",
        "The official scorers and VLMEvalKit take an option's text for its letter; EvalScope wants a letter.",
        _is_text_of_option,
    ),
    Kind(
        "small letter",
        "A letter alone is an option however it is cased, as for the official scorers; EvalScope wants a capital.",
        _is_small_letter,
    ),
    Kind(
        "several letters",
        "Several options without a choice are none, and LogicVista's golds may be several; EvalScope takes the last.",
        _is_several,
    ),
    Kind(
        "tolerance",
        "DynaMath allows 0.001, MathVista rounds to the gold's decimals; EvalScope does neither.",
        _within_tolerance,
    ),
    Kind(
        "word as gold or number word",
        'A colour is compared as a text, and "eight" is 8; EvalScope reads mathematics alone.',
        lambda row: not row["choice"] and not re.search(r"\d", _end(row)),
    ),
    Kind(
        "layout",
        "Emphasis, a full stop behind a fraction and a percent sign are no part of a number; EvalScope stumbles.",
        lambda row: not row["choice"] and re.search(r"\*\*|/2\.$|%$|^\[", row["prediction"]) is not None,
    ),
    Kind(
        "several numbers",
        "A sentence names several numbers and marks none as the result: a judge is asked; EvalScope takes the last.",
        lambda row: row["ours"] is not True and len(re.findall(r"\d+", row["prediction"])) > 1,
    ),
    Kind("last number", "EvalScope takes a number behind the stated one.", _is_last_number),
)
