r"""math: 1 if the answer is mathematically equal to the gold, else 0, by Math-Verify (arXiv 2504.11468, 4.1).

    judge_math(r"the answer is $4\sqrt{3}$", "4√3").value == 1.0

The gold is always the first argument of `verify`, which isn't symmetric. Both sides are read whole or not at
all. A gold that can't be read makes the sample invalid, unless the answer is the same text. Nothing here limits
time or memory; therefore the sandbox runs this code in a process that can be killed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from latex2sympy2_extended import NormalizationConfig
from latex2sympy2_extended.math_normalization import extract_boxed_content
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, Rational, UnevaluatedExpr

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.latex import strip_wrappers, to_latex
from vlaa_ray.rewards.verifiers.math_spans import Span, find_spans, words_outside
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong

# `to_latex` drops the units. Math-Verify's own rule takes a final "t" or "h" of an expression for a unit.
_CONFIG = LatexExtractionConfig(
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
    )
)
# What sympy raises if it can't compare two sides (1/0, a set with a matrix). Memory and recursion errors are raised on.
_NOT_COMPARABLE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
_TEXT_COMMAND = re.compile(r"\\(?:text(?:bf|rm|it|normal)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_WORD = re.compile(r"[^\W\d_]{1,40}|[<>=]")
_CLEARLY = 1e-3
_MAX_GOLD_WORDS = 4
_ANCHOR = re.compile(r"\\f?boxed|\b(?i:answer)\b")
_LABEL = re.compile(
    r"^\s*(?:[A-Za-z][A-Za-z.]*\s+){0,4}(?:[A-Z][A-Za-z]*\.)*[A-Za-z]{3,}[A-Za-z.]*\s*(?:\$\s*)?=(?![=<>])"
)
_CHAT_MARK = re.compile(r"<\|[^|<>]{0,40}\|>")
_FINAL = re.compile(r".*\bfinal answer\b(?:\s+is\b)?\s*:?(?:\s*the final answer is)?", re.IGNORECASE | re.DOTALL)
_PART_BREAK = re.compile(r"^(?:\s|[,;.、；]|\(\d{1,2}\)|and|or)*$")


class Gold(NamedTuple):
    """A gold that has been read.

    `parts` are its expressions: more than one if it has several parts, empty if it can't be read as mathematics or is
    a single word. `text` is the gold to compare as text.
    """

    parts: tuple[Any, ...]
    text: str
    is_word: bool


def judge_math(answer: str | None, gold: str) -> RewardResult:
    """Return 1.0 if answer and gold are equal, else 0.0.

    `answer` is None if the response has no answer. Invalid if the gold can't be read, unless both are the same text.
    """
    target = _read_gold(gold)
    if answer is None:
        return wrong(None, "no answer") if target.parts or target.is_word else _unreadable(None, gold)
    text = _bare(_stated(answer))
    if text and text == target.text:
        return scored(1.0, answer)
    if not target.parts:
        return wrong(answer, f"the answer is not {target.text!r}") if target.is_word else _unreadable(answer, gold)
    parts = _read(_stated(answer))
    if not parts:
        return wrong(answer, "no mathematical expression in the answer")
    equal = _equal_parts(target.parts, parts)
    return scored(1.0, answer) if equal else wrong(answer, "the answer is not equal to the gold")


def _unreadable(answer: str | None, gold: str) -> RewardResult:
    return invalid(answer, f"gold can't be read as mathematics: {gold[:80]!r}")


def _equal_parts(gold: tuple[Any, ...], answer: tuple[Any, ...]) -> bool:
    if len(gold) == 1:
        return all(_equal(gold[0], part) for part in answer)
    return len(gold) == len(answer) and all(map(_equal, gold, answer))


def _equal(gold: Any, answer: Any) -> bool:
    if _differ_numerically(gold, answer):
        return False
    try:
        return bool(verify(gold, answer, timeout_seconds=None, raise_on_error=True))
    except _NOT_COMPARABLE:
        return False


def _differ_numerically(gold: Any, answer: Any) -> bool:
    """Return whether two expressions clearly differ in value at one point. This is much quicker than `simplify`."""
    sides = (gold, answer)
    if not all(isinstance(side, Expr) and not side.is_Symbol and not side.has(UnevaluatedExpr) for side in sides):
        return False
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    point = {symbol: Rational(7 + 4 * index, 5 + index) for index, symbol in enumerate(symbols)}
    try:
        left, right = (complex(side.evalf(15, subs=point)) for side in sides)
        return abs(left - right) > _CLEARLY * max(1.0, abs(left), abs(right))
    except _NOT_COMPARABLE:
        return False


@lru_cache(maxsize=512)
def _read_gold(gold: str) -> Gold:
    stated = _stated(gold)
    text = _bare(stated)
    unlabelled = _without_label(stated)
    is_prose = len(words_outside(unlabelled, find_spans(unlabelled))) > _MAX_GOLD_WORDS and not _ANCHOR.search(gold)
    is_word = _is_word(_unwrapped(stated))
    return Gold(() if is_prose or is_word else _read(stated), text, is_word)


def _stated(text: str) -> str:
    """Return the part of the text that states the result.

    It is the text after "final answer is", or the content of the last box, or the whole text.
    """
    text = _CHAT_MARK.sub(" ", text)
    final = _FINAL.match(text)
    if final:
        tail = text[final.end() :].partition("I hope")[0]
        text = tail if find_spans(tail) else text
    return extract_boxed_content(text, mode="last") if "box" in text else text


def _read(text: str) -> tuple[Any, ...]:
    text = _without_label(text)
    spans = find_spans(text)
    if _in_parts(text, spans):
        parts = [_parse("$" + to_latex(strip_wrappers(span.text)) + "$") for span in spans]
        return tuple(parts) if None not in parts else ()
    expression = _parse(_marked_up(text, spans))
    return () if expression is None else (expression,)


def _parse(text: str) -> Any:
    expressions = parse(text, [_CONFIG], fallback_mode="no_fallback", parsing_timeout=None)
    return expressions[0] if expressions else None


def _marked_up(text: str, spans: list[Span]) -> str:
    """Return the text with every span as `$LaTeX$`. Math-Verify's own rules then choose one of them."""
    pieces, position = [], 0
    for span in spans:
        pieces += [text[position : span.start].replace("$", " "), " $", to_latex(strip_wrappers(span.text)), "$ "]
        position = span.end
    return "".join([*pieces, text[position:].replace("$", " ")])


def _in_parts(text: str, spans: list[Span]) -> bool:
    """Return whether the text is only several expressions, separated by blanks, new lines, ";", "and", or (1), (2)."""
    gaps = [text[left.end : right.start] for left, right in pairwise(spans)]
    return len(spans) > 1 and all(gap and _PART_BREAK.match(gap) for gap in gaps) and not words_outside(text, spans)


def _without_label(text: str) -> str:
    return _LABEL.sub("", text)


def _bare(text: str) -> str:
    """Return the text without delimiters, blanks and text commands, to compare it as text. A word is in lower case."""
    plain = _unwrapped(text)
    bare = re.sub(r"\\(?:left|right)(?![A-Za-z])|\\[,;!]|[\s$]|\\[()\[\]]", "", plain)
    return bare.lower() if _is_word(plain) else bare


def _unwrapped(text: str) -> str:
    return _TEXT_COMMAND.sub(r"\1", strip_wrappers(text)).strip()


def _is_word(text: str) -> bool:
    """Return whether the text is one word that is not mathematics ("odd", but not "pi"), or a comparison sign."""
    return bool(_WORD.fullmatch(text)) and not find_spans(text)
