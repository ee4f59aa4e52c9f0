r"""Finds the mathematics in a text, so that a number is never cut out of an expression.

    find_spans("the area is 4√3 cm², about 6.9") -> [Span("4√3 cm²", …), Span("6.9", …)]

A span is a piece in delimiters (`$…$`, `\(…\)`, `\[…\]`, `\boxed{…}`), or a run of words that look mathematical, as
long as possible. Pieces that touch are one span.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from vlaa_ray.text.answers import closing_brace

_DELIMITED = re.compile(
    r"(?<!\\)\$\$(?P<a>(?:[^$]|\\\$)+?)(?<!\\)\$\$|\\\[(?P<b>.+?)\\\]|\\\((?P<c>.+?)\\\)|(?<!\\)\$(?P<d>(?:[^$\n\\]|\\.)+?)\$",
    re.DOTALL,
)
_BOX = re.compile(r"\\f?boxed\s*(?=\{)")
_CJK = re.compile(r"[\u2e80-\u2fff\u3040-\u30ff\u3400-\u9fff]+")
_FUNCTION = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|lg|exp|sqrt|cbrt|abs|floor|ceil|pi|theta|alpha|beta|infinity|inf|oo"
)
_MATH_SIGN = re.compile(r"[\d\\√∛π∞°²³½¼¾±≤≥≠∪∩∈×÷^=<>θαβγλμω]")
_OPERATORS = re.compile(r"[-+*/^_|,:()\[\]{}=<>'!]+")
_PRONOUN = re.compile(r"(?:I|a|A)\s+[a-z]{2,}")
_VARIABLE = re.compile(r"[A-Za-zα-ω]")
_JOINS_LEFT, _JOINS_RIGHT = re.compile(r"[-+*/^_=<>(\[{|,:√−×÷·]\s*$"), re.compile(r"\s*[-+*/^_=<>)\]}|√−×÷·]")
_PIECE = re.compile(r"[{}]|\s+|[^{}\s]+")


class Span(NamedTuple):
    """A piece of mathematics, and the indices in the text where it starts and ends, its delimiters included."""

    text: str
    start: int
    end: int
    delimited: bool


def find_spans(text: str) -> list[Span]:
    """Return all spans in their order; they don't overlap."""
    spans: list[Span] = []
    for span in sorted([*_delimited(text), *_runs(text)], key=lambda span: (span.start, -span.end)):
        if spans and span.start < spans[-1].end:
            continue
        if spans and _touch(text, spans[-1], span):
            last = spans.pop()
            span = Span(f"{last.text} {span.text}", last.start, span.end, False)
        spans.append(span)
    return [span for span in spans if _is_formula(span)]


def words_outside(text: str, spans: list[Span]) -> list[str]:
    """Return the words of the text that belong to no span."""
    pieces, position = [], 0
    for span in spans:
        pieces.append(text[position : span.start])
        position = span.end
    pieces.append(text[position:])
    return re.findall(r"[^\W\d_]+", " ".join(pieces))


def _delimited(text: str) -> Iterator[Span]:
    for match in _DELIMITED.finditer(text):
        content = next(group for group in match.groups() if group is not None)
        yield Span(content.strip(), match.start(), match.end(), True)
    for match in _BOX.finditer(text):
        end = closing_brace(text, match.end())
        if end is not None:
            yield Span(text[match.start() : end + 1], match.start(), end + 1, True)


def _runs(text: str) -> Iterator[Span]:
    """Yield the longest possible runs of mathematical words outside delimiters."""
    masked = list(text)
    for span in _delimited(text):
        masked[span.start : span.end] = "\0" * (span.end - span.start)
    plain = _CJK.sub(lambda match: "\0" * len(match.group()), "".join(masked))
    for region in re.finditer(r"[^\0\n]+", plain):
        yield from _runs_of_line(region.group(), region.start())


def _runs_of_line(line: str, offset: int) -> Iterator[Span]:
    start = end = None
    for first, text in _words(line):
        word = text.strip('*`"“”') if text not in ("*", "**") else text
        core = word.rstrip(".,;:!?" if not word.endswith("!") else ".,;:?")
        if _is_math(core) and not _PRONOUN.match(line, first):
            begin = first + text.find(core)
            start = begin if start is None else start
            end = begin + len(core)
            if word[len(core) :] in ("", ","):
                continue
        if start is not None and end is not None:
            yield _span(line, start, end, offset)
        start = end = None
    if start is not None and end is not None:
        yield _span(line, start, end, offset)


def _words(line: str) -> Iterator[tuple[int, str]]:
    """Yield the index and the text of each word. Blanks inside braces don't end a word."""
    depth, start = 0, 0
    depths = line.count("}")  # braces that may still close
    for match in _PIECE.finditer(line):
        piece = match.group()
        if piece == "{":
            depth += 1
        elif piece == "}":
            depth, depths = max(0, depth - 1), depths - 1
        elif piece.isspace() and (not depth or not depths):
            if match.start() > start:
                yield start, line[start : match.start()]
            start = match.end()
    if start < len(line):
        yield start, line[start:]


def _span(line: str, start: int, end: int, offset: int) -> Span:
    return Span(line[start:end], offset + start, offset + end, False)


def _is_math(word: str) -> bool:
    if not word:
        return False
    if _MATH_SIGN.search(word) or _OPERATORS.fullmatch(word):
        return True
    # What is left are letters and operators: "sin(x)", "-inf", "AC/BD", but not "and/or".
    names = [name for name in _OPERATORS.split(word) if name]
    return all(
        _FUNCTION.fullmatch(name) or _VARIABLE.fullmatch(name) or (len(names) > 1 and name.isupper()) for name in names
    )


def _touch(text: str, left: Span, right: Span) -> bool:
    """Return whether two spans are one expression: they touch, or an operator at one end joins them across blanks."""
    between = text[left.end : right.start]
    if between.strip() or "\n" in between or (left.delimited and right.delimited):
        return False
    return not between or bool(_JOINS_LEFT.search(left.text) or _JOINS_RIGHT.match(right.text))


def _is_formula(span: Span) -> bool:
    """Return whether the span has more than brackets or dashes: a digit, a command, a sign or a variable."""
    return span.delimited or bool(re.search(r"[\w√∞]", span.text))
