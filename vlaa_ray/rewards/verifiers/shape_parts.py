"""The parts that a group of brackets holds, and what they make together: boxes, points, and the labels beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from vlaa_ray.rewards.verifiers.shape_names import (
    SHAPE_KEYS,
    Numbers,
    box_by_names,
    coordinate_name,
    plain_key,
    point_by_names,
)

RUN, CORNERS, GROUP = 0, 1, 2
"""How sure it is that numbers are one shape: a run among words, two points beside each other, one group or object."""
_MARKER = re.compile(r"\A(?:[-*•]|\d{1,3}[.)])\s")
_LABEL_ENDS = " \t\r\n,.:;：，；、=-*•|\"'`#()$\\"
_LINKS = frozenset("is are at in of located found bounding".split())
_LONGEST_LABEL = 80
_MARKUP = frozenset("<>{}[]")


class Shape(NamedTuple):
    """A box (four numbers) or a point (two numbers)."""

    numbers: Numbers
    label: str | None = None
    sure: bool = False
    """Whether a key or a tag gives the label; otherwise words beside the shape do."""
    rank: int = GROUP


class Placed(NamedTuple):
    """A shape, and the piece of the text in which it stands."""

    shape: Shape
    start: int
    end: int
    apart: bool = False
    """Whether it stands in an object, under a key that does not say that it holds boxes."""


class Numeral(NamedTuple):
    """A number outside the inner groups, with the name of its coordinate or an empty text."""

    value: float
    name: str
    row: int
    run: int
    start: int
    end: int


def shape_of(numerals: Sequence[Numeral], rank: int) -> Placed:
    """Return the shape that the numbers make in their order."""
    numbers = tuple(numeral.value for numeral in numerals)
    by_name = box_by_names([numeral.name for numeral in numerals], numbers) if len(numbers) == 4 else None
    return Placed(Shape(by_name or numbers, rank=rank), numerals[0].start, numerals[-1].end)


def named_shapes(numerals: Sequence[Numeral]) -> list[Placed]:
    """Return the boxes and points that named numbers make, whatever stands between them."""
    named = [numeral for numeral in numerals if numeral.name]
    found = []
    if len(numerals) == 4 and (box := box_by_names([n.name for n in numerals], [n.value for n in numerals])):
        return [Placed(Shape(box), numerals[0].start, numerals[-1].end)]
    index = 0
    while index + 1 < len(named):
        four, two = named[index : index + 4], named[index : index + 2]
        box = box_by_names([n.name for n in four], [n.value for n in four]) if len(four) == 4 else None
        numbers = box or point_by_names([n.name for n in two], [n.value for n in two])
        taken = four if box else two if numbers else named[index : index + 1]
        if numbers:
            found.append(Placed(Shape(numbers), taken[0].start, taken[-1].end))
        index += len(taken)
    return found


def chunks(numerals: Sequence[Numeral], part: Callable[[Numeral], int]) -> list[list[Numeral]]:
    """Return the numbers in lists of neighbours that `part` gives the same number."""
    return [list(group) for _, group in groupby(numerals, part)]


def folded(placed: list[Placed], rank: int) -> list[Placed]:
    """Return the boxes whose corners the points are, two by two; the shapes themselves if they are not all points."""
    if len(placed) < 2 or len(placed) % 2 or any(len(each.shape.numbers) != 2 for each in placed):
        return placed
    pairs = zip(placed[::2], placed[1::2], strict=True)
    return [
        Placed(
            first.shape._replace(numbers=first.shape.numbers + second.shape.numbers, rank=rank), first.start, second.end
        )
        for first, second in pairs
    ]


def swapped(numbers: Numbers) -> Numbers:
    """Return coordinates that were written as y, x, … as x, y, …"""
    return tuple(numbers[index ^ 1] for index in range(len(numbers)))


def labels_beside(text: str, start: int, end: int, placed: Sequence[Placed]) -> list[str | None]:
    """Return the words of the same line before each shape, or behind each if the first one has none before it.

    The shapes stand between `start` and `end`.
    """
    lefts = [start, *(each.end for each in placed[:-1])]
    rights = [*(each.start for each in placed[1:]), end]
    before = [
        _label(text[max(left, each.start - 120) : each.start], -1) for left, each in zip(lefts, placed, strict=True)
    ]
    if before[0] is not None:
        return before
    behind = [
        _label(text[each.end : min(right, each.end + 120)], 0) for right, each in zip(rights, placed, strict=True)
    ]
    return behind if behind[0] is not None else before


def _label(piece: str, line: int) -> str | None:
    words = piece.replace(";", "\n").split("\n")[line].strip(" \t\r")
    words = _MARKER.sub("", words + " ").strip(_LABEL_ENDS)
    while words and _is_link(last := words.split()[-1]):
        words = words[: -len(last)].strip(_LABEL_ENDS)
    return words if 0 < len(words) <= _LONGEST_LABEL and not _MARKUP.intersection(words) else None


def _is_link(word: str) -> bool:
    """Return whether the word ties a label to its box and is no part of the label, such as "at" or "bbox"."""
    return word.lower() in _LINKS or bool(coordinate_name(word)) or plain_key(word) in SHAPE_KEYS
