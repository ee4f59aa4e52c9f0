r"""Reads a stated result as expressions, by rewriting it as LaTeX for Math-Verify's parser.

    read_expressions("x = 1 or x = 2").expressions.parts -> (Eq(x, 1), Eq(x, 2))

A text that can't be read whole has no expressions.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, NamedTuple

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse
from sympy import Expr

from vlaa_ray.rewards.verifiers.latex import strip_wrappers, to_latex
from vlaa_ray.rewards.verifiers.math_compare import Expressions, Range, Ratio
from vlaa_ray.rewards.verifiers.math_limits import MAX_EXPRESSION_DEPTH, depth_of
from vlaa_ray.rewards.verifiers.math_numbers import PERCENT
from vlaa_ray.rewards.verifiers.math_shapes import ratio_terms, read_date, rewrite_shapes, rewrite_whole
from vlaa_ray.rewards.verifiers.math_spans import Span, find_spans, words_outside
from vlaa_ray.rewards.verifiers.math_stated import without_remark
from vlaa_ray.rewards.verifiers.math_text import is_product
from vlaa_ray.rewards.verifiers.math_words import qualifier, words_as_numbers
from vlaa_ray.rewards.verifiers.units import drop_physics_units, drop_units, is_unit

# `to_latex` drops the units. Math-Verify's own rule takes a final "t" or "h" of an expression for a unit.
_CONFIG = LatexExtractionConfig(
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
    )
)
_MAX_GOLD_WORDS = 4
MAX_EXPRESSION_CHARS = 600
_REPEATED = re.compile(r"([-+!'|/^_])\s?(?:\1\s?){4}")
_ANCHOR = re.compile(r"\\f?boxed|\b(?i:answer)\b")
_LABEL = re.compile(
    r"^\s*(?:[A-Za-z][A-Za-z.]*\s+){0,4}(?:[A-Z][A-Za-z]*\.)*[A-Za-z]{3,}[A-Za-z.]*\s*(?:\$\s*)?=(?![=<>])"
)
_NAMED = re.compile(
    r"^\s*(?:m?\s*(?:\\angle|∠|\\triangle|△)\s*[A-Z0-9]{1,3}|\\(?:overline|vec|overrightarrow|bar)\s*\{[A-Za-z]{1,2}\}|\|[A-Z]{2}\|"
    r"|[A-Z]{2}|[A-Za-z]+(?:\s?:\s?[A-Za-z]+)+|P\s*\([^()=]{1,30}\)|P\s*\([A-Z]\s*=\s*\d+\)|[A-Za-z]_(?:\w|\{[^{}]{1,30}\})|[A-Za-z]'|f\s*\(\s*-?\d+\s*\)"
    r"|\(\s*[a-z](?:\s*,\s*[a-z])+\s*\)|\\lim[^=]{0,60}|\\sum[^=]{0,60}|\\int[^=]{0,60})\s*=(?=[^=<>]+$)"
)
_FUNCTION_HEAD = re.compile(r"^\s*[fgh](?:\^\{-1\})?\s*\(\s*[a-z]\s*\)\s*=(?=[^=]+$)")
_POINT_NAME = re.compile(
    r"^(?![CP]\(\d+,\s?\d+\)$)"
    r"\s*(?:point|vector|the point)?\s*\$?\s*[A-Z]'?(?:_\{?\d\}?)?\s*\$?(?=\([^()]*,[^()]*\)\s*$)"
)
_ANGLED = re.compile(r"\\langle(.{1,200}?)\\rangle|⟨(.{1,200}?)⟩", re.DOTALL)
_COLUMN_BRACKETS = re.compile(r"[(\[]\s*(\\begin\{[pbvB]?matrix\}.*\\end\{[pbvB]?matrix\})\s*[)\]]", re.DOTALL)
_TOLD = re.compile(r"^\s*(?:\\approx|≈|\\sim|~|:|\\Rightarrow|⇒|=>|=)\s*(?=[\d\\(.-])")
_ABOUT = re.compile(r"^(\s*[A-Za-z])\s*(?:\\approx|≈)(?=[^=≈]+$)")
_PART_BREAK = re.compile(
    r"^(?:\s|[,;.、；]|\(\d{1,2}\)|\\text\{\s*(?:and|or)\s*\}|(?<![A-Za-z])(?:and|or)(?![A-Za-z])|或者?|和|与|以及|及|并?且|,?also)*$"
)
_OR = re.compile(r"(?<![A-Za-z])or(?![A-Za-z])|或")
_LISTED = re.compile(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|[,、]|或|和|与|及|且")
_EITHER = re.compile(r"(?<![A-Za-z])(?:either|both|respectively)(?![A-Za-z])|分别是?|解得|解为", re.IGNORECASE)
_FORMULA = re.compile(r"[A-Za-z]+|\d[\d.]*|[-+*/^=()\s'|]")
_LEADING_TEXT = re.compile(r"^\s*\\text\s*\{([^{}]*[A-Za-z]{2,}[^{}]*)\}(?=\s*[^\s^_])")
_LEADING_WORDS = re.compile(r"^[A-Za-z ,']{0,80}\b(?:is|equals|be)\b:?\s+")
_FORMULA_END = re.compile(r"\b(?:is|equals|be)\b:?\s+[a-zA-Z+*/^()-]{2,20}[.]?$")
_RANGE = re.compile(r"^(?:from )?(-?\d+(?:\.\d+)?) ?(?:to|到|至|～|∼) ?(-?\d+(?:\.\d+)?)$")
_TOKEN_NAMES = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan asin acos atan log ln lg exp sqrt pi abs cbrt floor ceil".split()
)
_WORD_AFTER_NUMBER = re.compile(r"\d [A-Za-z]{2,}")  # "20 lux" is a number and its unit
_UNIT_WORD = re.compile(r"\s?[A-Za-z]{1,12}(?![A-Za-z])(?:[²³]|\^[23])?")
_MEMBER_UNIT = re.compile(r"(?<=\d)\s?(?:[cmkd]m|in|ft|kg|m[lL]|units?|degrees)(?:\^\{?[23]\}?|[²³])?(?=\s?[,;}\])])")
_PERCENT_END = re.compile(r"\\?%\s*$")


class Reading(NamedTuple):
    """What has been read of one side.

    `qualifier` is what the words beside the number make of it, such as "not". `date` is set if the text is a date.
    """

    expressions: Expressions = Expressions(())
    qualifier: str = ""
    date: str = ""


def is_prose(stated: str, whole: str) -> bool:
    """Return whether a gold is prose with numbers in it, from which no number may be picked."""
    unlabelled = _LABEL.sub("", stated)
    return len(words_outside(unlabelled, find_spans(unlabelled))) > _MAX_GOLD_WORDS and not _ANCHOR.search(whole)


def read_expressions(stated: str) -> Reading:
    """Return what the text states, or a reading without expressions if it can't be read whole."""
    date = read_date(strip_wrappers(stated))
    if date:
        return Reading(date=date)
    text = rewrite_shapes(_EITHER.sub(" ", words_as_numbers(without_remark(_LABEL.sub("", stated)))))
    whole = _TOLD.sub("", strip_wrappers(text))
    if _LEADING_TEXT.match(whole):
        text = words_as_numbers(_LEADING_TEXT.sub(r"\1 ", whole))
        return _read_spans(text)
    ends = _RANGE.match(whole)
    if ends:
        low, high = (parse_text(end) for end in ends.groups())
        return Reading(_of(None if low is None or high is None else Range(low, high)))
    rewritten = rewrite_whole(whole)
    if rewritten != whole:
        return Reading(_of(parse_text(rewritten)))
    terms = ratio_terms(_NAMED.sub("", whole))
    if terms:
        parsed = tuple(parse_text(term) for term in terms)
        if None not in parsed:
            return Reading(_of(parsed[0] if len(parsed) == 1 else Ratio(parsed)))
    whole = _LEADING_WORDS.sub("", whole) if _FORMULA_END.search(whole) else whole
    if is_product(whole) or _is_formula(whole):
        expression = parse_text(whole)
        if expression is not None:
            return Reading(_of(expression))
    return _read_spans(text)


def _of(expression: Any) -> Expressions:
    return Expressions(() if expression is None else (expression,))


def _read_spans(text: str) -> Reading:
    spans = find_spans(text)
    spans = [*spans[:1], *(span for span in spans[1:] if not (span.delimited and is_unit(span.text)))]
    words = [_qualifier(text, spans, index) for index in range(len(spans))]
    if "not" in words and len(spans) > 1 and words.count("not") < len(spans):
        kept = [span for span, word in zip(spans, words, strict=True) if word != "not"]
        text = _blank_others(text, kept)
        spans, words = kept, [word for word in words if word != "not"]
    listed = _listed(text, spans)
    if len(listed) > 1:
        return Reading(_read_list(text, listed), words[-1])
    if len(spans) == 1:
        return Reading(_of(parse_text(spans[0].text)), words[0])
    return Reading(_of(_parse(_marked_up(text, spans))), words[-1] if words else "")


def _blank_others(text: str, kept: list[Span]) -> str:
    pieces, position = [], 0
    for span in kept:
        pieces += [re.sub(r"[^A-Za-z]", " ", text[position : span.start]), text[span.start : span.end]]
        position = span.end
    return "".join([*pieces, text[position:]])


def _qualifier(text: str, spans: list[Span], index: int) -> str:
    """Return what the words beside a span make of it; words on the other side of another span don't count."""
    before = text[spans[index - 1].end if index else 0 : spans[index].start]
    after = text[spans[index].end : spans[index + 1].start if index + 1 < len(spans) else len(text)]
    return qualifier(before, after)


def _listed(text: str, spans: list[Span]) -> list[Span]:
    """Return the spans of a text that is only several expressions, or the alternatives at the end of a sentence."""
    gaps = [_without_unit(text[left.end : right.start]) for left, right in pairwise(spans)]
    around = f"{text[: spans[0].start]} {_without_unit(text[spans[-1].end :])}" if spans else text
    if all(gap and _PART_BREAK.match(gap) for gap in gaps) and not words_outside(around, []):
        return spans
    count = 1
    while count < len(spans) and _PART_BREAK.match(gaps[-count]) and _LISTED.search(gaps[-count]):
        count += 1
    return spans[-count:] if count > 1 and any(map(_OR.search, gaps[len(gaps) - count + 1 :])) else []


def _without_unit(gap: str) -> str:
    """Return the text between two expressions without the unit of the first: "cm, " is ", "."""
    unit = _UNIT_WORD.match(gap)
    if not unit or not gap[unit.end() :].strip():
        return gap
    quantity = f"1 {unit.group().strip()}"
    return gap[unit.end() :] if "1" in (drop_units(quantity), drop_physics_units(quantity)) else gap


def _read_list(text: str, spans: list[Span]) -> Expressions:
    parts = tuple(parse_text(span.text) for span in spans)
    if None in parts:
        return Expressions(())
    gaps = [text[left.end : right.start] for left, right in pairwise(spans)]
    return Expressions(
        parts,
        ordered=not any(map(_LISTED.search, gaps)),
        any_of=any(map(_OR.search, gaps)),
    )


def parse_text(text: str) -> Any:
    """Return the expression of a text without delimiters around it, or None if it can't be read."""
    if len(text) > MAX_EXPRESSION_CHARS or _REPEATED.search(text):
        return None
    text = _TOLD.sub("", without_remark(strip_wrappers(" ".join(text.split()))))
    text = _COLUMN_BRACKETS.sub(r"\1", _ANGLED.sub(r"(\1\2)", text))
    text = _POINT_NAME.sub("", _FUNCTION_HEAD.sub("y = ", _NAMED.sub("", _ABOUT.sub(r"\1 = ", text))))
    text = _MEMBER_UNIT.sub("", drop_physics_units(rewrite_shapes(rewrite_whole(text))))
    latex = to_latex(text)
    if depth_of(latex) > MAX_EXPRESSION_DEPTH:
        return None
    expression = _parse(f"${latex}$")
    if expression is None and _PERCENT_END.search(text):
        body = _parse(f"${to_latex(_PERCENT_END.sub('', text))}$")
        return body * PERCENT if isinstance(body, Expr) else None
    return expression


def _parse(latex: str) -> Any:
    expressions = parse(latex, [_CONFIG], fallback_mode="no_fallback", parsing_timeout=None)
    return expressions[0] if expressions else None


def _marked_up(text: str, spans: list[Span]) -> str:
    """Return the text with every span as `$LaTeX$`. Math-Verify's own rules then choose one of them."""
    pieces, position = [], 0
    for span in spans:
        latex = to_latex(rewrite_shapes(strip_wrappers(span.text)))
        pieces += [text[position : span.start].replace("$", " "), " $", latex, "$ "]
        position = span.end
    return "".join([*pieces, text[position:].replace("$", " ")])


def _is_formula(text: str) -> bool:
    """Return whether the whole text is a formula in letters, such as "ab + ac", in which no name is a word."""
    if len(text) > 200 or not any(sign in text for sign in "+*/^=(-0123456789"):
        return False
    tokens = _FORMULA.findall(text)
    if "".join(tokens) != text:
        return False
    if _WORD_AFTER_NUMBER.search(text):
        return False
    names = [token for token in tokens if token.isalpha()]
    return bool(names) and all(len(name) == 1 or name in _TOKEN_NAMES or _is_factors(name) for name in names)


def _is_factors(name: str) -> bool:
    return is_product(name) or (len(name) == 2 and name.isupper())
