r"""The tokens of a text that holds boxes or points: numbers, quoted texts, words, brackets and the models' own tags.

    [(token.kind, token.text) for token in tokens_of("car2 = [10, 20]")]
    == [("word", "car2"), ("colon", "="), ("open", "["), ("number", "10"), ("comma", ","), ("number", "20"),
        ("close", "]")]

A number that is a part of a word (x1, 2nd, 640x480) is no number. Full-width digits, brackets and commas count as plain
ones. The pattern reads each character a bounded number of times, so its time is linear in the length of the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from vlaa_ray.rewards.verifiers.frames import ANY_SIZE, Size
from vlaa_ray.rewards.verifiers.shape_names import box_by_names, coordinate_name

_LONGEST_NUMBER = 400
_TOKEN = re.compile(
    r"""
      (?P<marker>(?m:^)[ \t]*+\d{1,3}+[.)][ \t]++(?=\S))                     # 1. or 2) before an item of a list
    | (?P<skip>```\w*+|\\[A-Za-z]++)                                         # a fence, a LaTeX command
    | <(?:ref|p|\|ref\||\|object_ref_start\|)>(?P<ref>[^<]{0,500}+)
    | (?P<attributes><[A-Za-z]\w{0,20}+[ ][^<>]{0,500}+>(?:[^<]{0,500}+</points?>)?+)
    | (?P<tag><[/|]{0,2}+[A-Za-z][^<>]{0,60}+>)
    | (?P<string>(?<![\w\\])(?:
          "(?:[^"\\\n]|\\.){0,500}+" | '(?:[^'\\\n]|\\.|'(?=\w)){0,500}+' | “[^”\n]{0,500}+” | ‘[^’\n]{0,500}+’))
    | (?P<number>(?:(?<![\w.)\]])[-+−－＋])?(?:\d++(?:[.．]\d*+)?+|[.．]\d++)(?:[eE][-+]?\d{1,3}+)?+
          (?:px|pixels?)?+(?![A-Za-z_\d]))
    | (?P<junk>\d[\w.]*+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*+|[^\W\d_A-Za-z]++)
    | (?P<open>[\[({【（［｛〔])
    | (?P<close>[\])}】）］｝〕])
    | (?P<colon>[:：=＝])
    | (?P<comma>[,，、])
    | (?P<semicolon>[;；])
    | (?P<line>\n)
    """,
    re.VERBOSE,
)
_PLAIN = str.maketrans("−－＋．", "--+.")
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_ESCAPE = re.compile(r"\\(.)")
# PaliGemma: y before x, in 1024 steps, the label behind. Florence-2: x before y, in 1000 steps, the label before.
_PALIGEMMA = re.compile(r"((?:<loc\d{4}>)++)(?:[ ]?<seg\d{3}>)*+([^<;\n]{0,200}+)")
_FLORENCE = re.compile(r"([^<>;\n]{0,200}+)((?:<loc_\d{1,4}>)++)")
_DIGITS = re.compile(r"\d+")
_NAME, _NUMBER = r"[A-Za-z][\w-]{0,15}+", r"[ ]?-?\d{1,9}+(?:\.\d{1,9}+)?+[ ]?"
_NAMED = re.compile(
    rf"(?<![\w(\[])[(\[]?+(?P<names>{_NAME}(?:,[ ]?{_NAME}){{3}})[)\]]?+[ ]?(?::|=|is|are|format:)?+[ ]?"
    rf"[(\[](?P<numbers>{_NUMBER}(?:,{_NUMBER}){{3}})[)\]]"
)


class ShapeToken(NamedTuple):
    """A piece of the text from `start` to `end`; `kind` is the name of its group in the pattern."""

    kind: str
    text: str
    start: int
    end: int


def tokens_of(text: str) -> Iterator[ShapeToken]:
    """Return the text's tokens in order. Blanks, marks of lists, fences and LaTeX commands are left out."""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "word" and match[0].lower() in _NOT_FINITE:
            kind = "number"
        if kind != "skip" and kind != "marker":
            yield ShapeToken(kind, match[kind] if kind == "ref" else match[0], match.start(), match.end())


def number_of(text: str) -> float:
    """Return the value of a number token; infinity for one of more than 400 characters, NaN for what is no number."""
    if len(text) > _LONGEST_NUMBER:
        return math.inf
    try:
        return float(text.translate(_PLAIN).rstrip("pixels"))
    except ValueError:
        return _not_finite(text)


def _not_finite(text: str) -> float:
    return math.inf if text.lower().startswith("inf") else math.nan


def unquoted(text: str) -> str:
    """Return the content of a quoted text with its escapes undone, those of JSON where it is JSON."""
    content = text[1:-1]
    if "\\" not in content:
        return content
    try:
        return str(json.loads(f'"{content}"'))
    except ValueError:
        return _ESCAPE.sub(r"\1", content)


def locations_as_objects(text: str, size: Size = ANY_SIZE) -> str:
    """Return the text with the location tokens of PaliGemma and Florence-2 written as JSON objects.

    The tokens count steps of the image's sides. They become coordinates of a frame of this size, and stay as they are
    if no size is known. A run that is no whole number of boxes is left out.
    """
    if "<loc" not in text:
        return text
    text = _PALIGEMMA.sub(lambda match: _object(_steps(match[1], 1024, size, swap=True), match[2]), text)
    return _FLORENCE.sub(lambda match: _object(_steps(match[2], 1000, size, swap=False), match[1]), text)


def names_as_keys(text: str) -> str:
    """Return the text with each number beside its name where a list of names stands before one of numbers.

    "(x, y, w, h) = (10, 20, 100, 50)" becomes "(x=10, y=20, w=100, h=50)". Names that make no box stay as they are.
    """
    return _NAMED.sub(_with_names, text) if "," in text else text


def _with_names(match: re.Match[str]) -> str:
    names, numbers = match["names"].split(","), match["numbers"].split(",")
    plain = [coordinate_name(name.strip()) for name in names]
    if not all(plain) or box_by_names(plain, [0.0] * 4) is None:
        return match[0]
    return "(" + ", ".join(f"{name}={number.strip()}" for name, number in zip(plain, numbers, strict=True)) + ")"


def _steps(tokens: str, steps: int, size: Size, *, swap: bool) -> list[float]:
    numbers = [float(number) for number in _DIGITS.findall(tokens)]
    if len(numbers) % 2:
        return []
    if swap:
        numbers = [numbers[index ^ 1] for index in range(len(numbers))]
    if size is ANY_SIZE:
        return numbers
    return [number / steps * size[index % 2] for index, number in enumerate(numbers)]


def _object(numbers: list[float], label: str) -> str:
    if len(numbers) != 2 and (not numbers or len(numbers) % 4):
        return " "
    width = min(4, len(numbers))
    boxes = [numbers[index : index + width] for index in range(0, len(numbers), width)]
    return "\n" + json.dumps({"boxes": boxes, "label": label.strip(" ,.:")}, ensure_ascii=False) + "\n"
