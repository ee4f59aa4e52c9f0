r"""Reads what words make of a number: its value, its sign, its size, or a bound that makes another answer of it.

For example:

    words_as_numbers("minus three quarters") -> "-(3/4)"
    qualifier("less than ", "") -> "less"
"""

from __future__ import annotations

import re
from fractions import Fraction

from vlaa_ray.rewards.verifiers.number_words import (
    PARTS,
    PLURAL_PARTS,
    SCALES,
    TENS,
    UNITS,
    chinese_number,
    read_words,
)
from vlaa_ray.rewards.verifiers.quantity_tokens import tokens_of

_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_NUMERAL = "|".join([*UNITS, *TENS, *SCALES, *PARTS, *PLURAL_PARTS])
_PART = "|".join(PARTS)
_RUN = re.compile(
    rf"(?<![\w-])(?:(?:a|an)[ -](?=hundred|thousand|million|billion|dozen|{_PART}))?"
    rf"(?:{_NUMERAL})(?:(?:[ -]|,? and (?:a )?)(?:{_NUMERAL})(?![A-Za-z]))*(?![\w-])",
    re.IGNORECASE,
)
_CHINESE_NUMERALS = "零〇一二两三四五六七八九十百千万亿"
_CHINESE_WHOLE = re.compile(
    rf"^(?:答案)?(?:是|为|等于|共有?|有|:)?\s*(?P<sign>负)?(?:(?P<below>[{_CHINESE_NUMERALS}]+)分之)?(?P<number>[{_CHINESE_NUMERALS}]+)"
    r"(?P<half>个?半)?\s*(?:个|人|元|米|厘米|天|年|岁|次|种|条|度|块|张|本|只|名|倍|小时|分钟|秒|千克|公斤|平方米)?[.!]?$"
)
_NUMBER = r"(?<![\w.,/\\^_{])-?\d++(?:[.,/]\d++)*+"  # possessive: a part of a number is never the number
_TERM = rf"(?P<n>{_NUMBER}|\\(?:frac|sqrt)\{{[^{{}}]{{1,40}}\}}(?:\{{[^{{}}]{{1,40}}\}})?)"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in [
        (r"(?<![\w-])(?:minus|negative)\s+(?=[\d(\\.a-z$])", "-"),
        (r"负\s?(?=[\d(\\])", "-"),
        (rf"(?P<n>{_NUMBER}) and (?P<m>\d+\s?/\s?\d+)(?![\d.])", r"\g<n> \g<m>"),
        (rf"(?P<n>{_NUMBER}) and (?:a|one) half\b", r"\g<n> 1/2"),
        (rf"(?P<n>{_NUMBER}) and (?:a|one) quarter\b", r"\g<n> 1/4"),
        (rf"(?:the )?square root of {_TERM}", r"\\sqrt{\g<n>}"),
        (rf"(?:the )?cube root of {_TERM}", r"\\sqrt[3]{\g<n>}"),
        (rf"(?:the )?square of {_TERM}", r"(\g<n>)^{2}"),
        (rf"(?:the )?cube of {_TERM}", r"(\g<n>)^{3}"),
        (rf"(?<![\w-])(?:one )?half (?:of )?{_TERM}", r"\\frac{1}{2}\\cdot(\g<n>)"),
        (rf"(?<![\w-])(?:one|a) third of {_TERM}", r"\\frac{1}{3}\\cdot(\g<n>)"),
        (rf"(?<![\w-])(?:(?:one|a) )?quarter of {_TERM}", r"\\frac{1}{4}\\cdot(\g<n>)"),
        (rf"(?<![\w-])(?:twice|double|two times) {_TERM}", r"2\\cdot(\g<n>)"),
        (rf"(?<![\w-])(?:thrice|triple|three times) {_TERM}", r"3\\cdot(\g<n>)"),
        (rf"(?:the )?reciprocal of {_TERM}", r"\\frac{1}{\g<n>}"),
        (rf"(?:the )?(?:opposite|negative) of {_TERM}", r"-(\g<n>)"),
        (rf"{_TERM} squared", r"(\g<n>)^{2}"),
        (rf"{_TERM} cubed", r"(\g<n>)^{3}"),
        (rf"{_TERM} factorial", r"(\g<n>)!"),
        (r"(?<![\w-])([a-z]) (?:is |must be )?(?:greater|more|larger) than or equal to\b", r"\1 \\geq "),
        (r"(?<![\w-])([a-z]) (?:is |must be )?(?:less|fewer|smaller) than or equal to\b", r"\1 \\leq "),
        (r"(?<![\w-])([a-z]) (?:is |must be )?(?:at least|no less than)\b", r"\1 \\geq "),
        (r"(?<![\w-])([a-z]) (?:is |must be )?(?:at most|no more than)\b", r"\1 \\leq "),
        (r"(?<![\w-])([a-z]) (?:is |must be )?(?:greater|more|larger) than\b", r"\1 > "),
        (r"(?<![\w-])([a-z]) (?:is |must be )?(?:less|smaller) than\b", r"\1 < "),
    ]
)
_SCALED = re.compile(
    rf"(?P<n>{_NUMBER})\s?(?P<scale>hundred|thousand|million|billion|trillion|dozen|[百千万亿])(?![A-Za-z])"
)
_FACTORS = _SCALES | {"hundred": 100, "dozen": 12, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}

_BEFORE: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(rf"(?:{pattern}){tail}$", re.IGNORECASE))
    for tail in [r"(?:\s+(?:equal|equals|to|the|is|be|a|an|exactly|answer|number|value|it|just))*[\s(:$=]*"]
    for name, pattern in [
        ("least", r"\bat least|\bno (?:less|fewer) than|\bnot (?:less|fewer) than|至少|最少|不少于|不小于|不低于"),
        ("most", r"\bat most|\bup to|\b(?:no|not) more than|至多|最多|不大于|不超过|不多于"),
        ("more", r"\b(?:more|greater|larger|bigger|higher|longer) than(?: or equal to)?"
         r"|\bover|\babove|\bexceed(?:s|ing)?|\bbeyond"
         r"|大于|多于|超过|高于"),
        ("less", r"\b(?:less|fewer|smaller|lower|shorter) than(?: or equal to)?"
         r"|\bbelow|\bunder|小于|少于|低于|不到|不足"),
        ("not", r"\bnot|\bnever|n[’'´]t|\bcannot|\bneither|\bnor|\bexcept(?: for)?"
         r"|\bother than|\banything but|\bhardly|\bnowhere near|\bfar from|\brather than"
         r"|\binstead of|\bnon|不是|不等于|不为|并非|而非|没有|不可能是|除了"),
        ("scale", r"\bhalf(?: of)?|\btwice|\bdouble|\bthrice|\btriple|\b(?:third|quarter|root|square|cube|reciprocal"
         r"|opposite|multiple|factor|power|logarithm|log|percent) of|\btimes|一半"),
        ("between", r"\bbetween|介于"),
    ]
)  # fmt: skip
_AFTER: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(rf"[\s)$]*(?:{pattern})", re.IGNORECASE))
    for name, pattern in [
        ("least", r"or (?:more|greater|above|over|higher|larger)\b|or at least|\+(?!\s*[\w\\(])|个?以上|at least"),
        ("most", r"or (?:less|fewer|below|under|lower|smaller)\b|个?以下|个?以内|at most"),
        ("not", r"(?:is|was|would be|looks) (?:wrong|incorrect|not|false|impossible)\b|isn't|不对|不是|是错"),
        ("scale", r"(?:hundred|thousand|million|billion|trillion|dozen)s?\b|squared|cubed|的(?:[^\s]{0,2}倍|一半|平方"
         r"|立方|倒数|相反数|平方根)|more than|less than|times (?:the|as|that)"),
    ]
)  # fmt: skip


def qualifier(before: str, after: str) -> str:
    """Return what the words beside a number make of it, such as "not" and "least", or an empty text."""
    before, after = before[-60:], after[:40]
    for name, pattern in _BEFORE:
        if pattern.search(before):
            return name
    return next((name for name, pattern in _AFTER if pattern.match(after)), "")


def words_as_numbers(text: str) -> str:
    """Return the text with signs, scales and number words as figures, as far as the rules here read them.

    Number words count only in a text without a figure, and only if there is one run of them: "two of the three"
    stays as it is.
    """
    if not any(char.isdigit() for char in text):
        text = _figures(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _SCALED.sub(_scaled, text)


def _scaled(match: re.Match[str]) -> str:
    number, factor = match["n"], _FACTORS[match["scale"].lower()]
    return f"{number}\\cdot {factor}" if "/" not in number else f"({number})\\cdot {factor}"


def _figures(text: str) -> str:
    whole = _CHINESE_WHOLE.match(text.strip())
    if whole:
        value = chinese_number(whole["number"])
        if value is not None and whole["below"]:
            below = chinese_number(whole["below"])
            value = value / below if below else None
        if value is not None:
            return _written(-value if whole["sign"] else value + (Fraction(1, 2) if whole["half"] else 0))
    runs = list(_RUN.finditer(text))
    if len(runs) != 1:
        return text
    value = _english(runs[0].group().lower())
    if value is None:
        return text
    return text[: runs[0].start()] + _written(value) + text[runs[0].end() :]


def _written(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"({value})"


def _english(run: str) -> Fraction | None:
    """Return the value of number words, or None if they are no number, such as "five three"."""
    if run.startswith(("a ", "a-", "an ", "an-")):
        run = "one" + run.removeprefix("a").removeprefix("n")
    elif run in ("quarter", "third"):
        run = f"one {run}"
    tokens = tokens_of(run.replace(",", ""))
    number = read_words(tokens, 0)
    return number.value if number and number.end == len(tokens) else None
