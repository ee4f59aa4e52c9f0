r"""Quantities of a text: each whole, with its sign, groups, fraction, power, scale and percent sign.

For example:

    [quantity.value for quantity in read_quantities(tokens_of("- 3½ and 1.2k"))] -> [Fraction(-7, 2), Fraction(1200)]

A part of a quantity is never a quantity: the 4 of 3/4, the 40 of 3:40, the 5 of 2024-01-05 and the 2 of cm². What names
no single number (a range, a date, an expression) is one quantity without a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from vlaa_ray.rewards.verifiers.number_digits import MAX_EXPONENT, digits_value
from vlaa_ray.rewards.verifiers.number_words import (
    CHINESE_SCALES,
    PLURAL_SCALES,
    add_half,
    chinese_at,
    chinese_number,
    read_words,
    text_at,
)
from vlaa_ray.rewards.verifiers.quantity_tokens import FRACTION, QuantityToken, TokenKind

MAX_QUANTITIES = 200
"""The number of quantities that are read of a text at most."""
_MAX_GROUP = 40
_POWERS = {"squared": 2, "cubed": 3}
_MINUS_WORDS = frozenset("minus negative 负 負 零下".split())
_BEFORE_SPACED_MINUS = frozenset(
    ["", "=", "(", "[", "{", ",", ":", "is", "are", "was", "be", "≈", "是", "为", "等于", "\n"]
)
_TIMES = frozenset("× * · x".split())
_ALGEBRA = frozenset("x y z n π".split())
_FUNCTIONS = frozenset("sqrt log ln lg sin cos tan".split())
_CURRENCY_CODES = frozenset("usd us eur gbp cny rmb rs inr rm hk chf aud cad jpy nt r kr".split())
_SHORT_SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "bn": 10**9, "mn": 10**6, "tn": 10**12, "mio": 10**6}
_MONEY_SCALES = {"m": 10**6, "b": 10**9, "t": 10**12}
CONTINUING = PLURAL_SCALES.keys() | {scale.lower() for scale in _SHORT_SCALES} | _MONEY_SCALES.keys()
CONTINUING |= _ALGEBRA | _POWERS.keys() | _TIMES | frozenset("h to and per percent percentage pct".split())
"""The words that may go on with a number."""
_CURRENCIES = frozenset("$€£¥₹₩")
PERCENT_WORDS = frozenset("% percent percentage pct 百分点".split())
OPERATOR_WORDS = _MINUS_WORDS | _FUNCTIONS | {"cent", "power"}
"""The words that make another number of the one beside them."""


class Quantity(NamedTuple):
    """A quantity. `first` and `end` are the indices of its first token and after its last one.

    `value` is None if the text names no single number here.
    """

    value: Fraction | None
    first: int
    end: int
    percent: bool = False
    weak: bool = False
    """Whether the word may mean something other than a number ("one", "half")."""
    aside: bool = False
    """Whether it is a date or a time, which no answer is likely to mean."""


def read_quantities(tokens: Sequence[QuantityToken]) -> list[Quantity]:
    """Return the quantities of the tokens in their order; of more than 200, the first 201."""
    found: list[Quantity] = []
    index = 0
    while index < len(tokens) and len(found) <= MAX_QUANTITIES:
        after_number = bool(found) and found[-1].end == index
        quantity, index = _step(tokens, index, after_number)
        if quantity is not None:
            found.append(quantity)
    return found


def _step(tokens: Sequence[QuantityToken], index: int, after_number: bool) -> tuple[Quantity | None, int]:
    """Return the quantity that begins at a token, if one does, and the index from which to read on."""
    token = tokens[index]
    if _is_sign(tokens, index, after_number):
        in_brackets = text_at(tokens, index + 1) == "(" and text_at(tokens, index + 3) == ")"
        quantity, end = _unsigned(tokens, index + 1 + in_brackets)
        if quantity is not None and quantity.value is not None:
            return quantity._replace(value=-quantity.value, first=index), end
        return (None if quantity is None else quantity._replace(first=index)), max(end, index + 1)
    if token.text in ("√", "±") or token.text in _FUNCTIONS:
        inner = index + 1
        while text_at(tokens, inner) in ("{", "(", "_", "^") and inner < index + 4:
            inner += 1
        if inner < len(tokens) and tokens[inner].kind is TokenKind.NUMBER:
            return Quantity(None, index, inner + 1), inner + 1
    return _unsigned(tokens, index)


def _is_sign(tokens: Sequence[QuantityToken], index: int, after_number: bool) -> bool:
    """Return whether the token is the sign of the number after it, not a hyphen, a dash or a difference."""
    text = tokens[index].text
    if text not in ("-", "—") and text not in _MINUS_WORDS:
        return False
    if after_number or index + 1 >= len(tokens):
        return False
    if text in _MINUS_WORDS:
        return True
    before = tokens[index - 1] if index else None
    if not tokens[index + 1].glued:
        return text_at(tokens, index - 1) in _BEFORE_SPACED_MINUS
    if before is None or not tokens[index].glued:
        return text == "-" or before is None or before.text in _BEFORE_SPACED_MINUS
    is_word = before.kind in (TokenKind.WORD, TokenKind.NUMBER)
    return not is_word and before.text not in (")", "]", "}") and not _is_unit_of_number(tokens, index - 1)


def _is_unit_of_number(tokens: Sequence[QuantityToken], index: int) -> bool:
    """Return whether the CJK sign at an index follows a number, as in "3个-5个"."""
    numbers = (TokenKind.NUMBER, TokenKind.NUMERAL)
    return index > 0 and tokens[index].kind is TokenKind.CJK and tokens[index - 1].kind in numbers


def _unsigned(tokens: Sequence[QuantityToken], index: int) -> tuple[Quantity | None, int]:
    token = tokens[index]
    if token.kind is TokenKind.NUMBER:
        if _is_inside_word(tokens, index):
            return None, index + 1
        return _extended(tokens, index, *_digits(tokens, index))
    if token.kind is TokenKind.WORD:
        words = read_words(tokens, index)
        if words is None or words.value is None:
            return None, max(index + 1, words.end if words else 0)
        return _with_percent(tokens, Quantity(words.value, index, words.end, weak=words.weak))
    if token.kind is TokenKind.NUMERAL:
        chinese = chinese_at(tokens, index)
        if text_at(tokens, index + 1) == "分之":
            return _chinese_fraction(tokens, index, index + 2, chinese_number(token.text))
        return (
            (None, index + 1)
            if chinese is None
            else (Quantity(chinese.value, index, chinese.end, weak=chinese.weak), chinese.end)
        )
    if token.text == "百分之":
        quantity, end = _chinese_fraction(tokens, index, index + 1, Fraction(1))
        return (None if quantity is None else quantity._replace(percent=True)), end
    return _macro_fraction(tokens, index) if token.text == FRACTION else (None, index + 1)


def _is_inside_word(tokens: Sequence[QuantityToken], index: int) -> bool:
    """Return whether the digits belong to a name ("v3", "cm2"), a unit's exponent, an index, or a quotient ("x/2")."""
    before = tokens[index - 1] if index else None
    if before is None:
        return False
    if tokens[index].glued and before.kind is TokenKind.WORD:
        return before.text not in _CURRENCY_CODES and not (before.text == "x" and index > 1)
    if before.text == "-" and text_at(tokens, index - 2) in ("^", "{", "(") and index > 2:
        return "^" in (text_at(tokens, index - 2), text_at(tokens, index - 3))
    if before.text in ("{", "(", "+"):
        return text_at(tokens, index - 2) in ("^", "_")
    if before.text in ("^", "_"):
        return True
    is_quotient = before.text == "/" and before.glued and tokens[index].glued and index > 1
    return is_quotient and tokens[index - 2].kind is TokenKind.WORD


def _digits(tokens: Sequence[QuantityToken], index: int) -> tuple[Fraction | None, int]:
    """Return (value, index after it) of the digits at an index, with the groups of three that follow blanks."""
    body, end = tokens[index].text, index + 1
    if len(body) <= 3 and body.isdigit() and body[0] != "0":
        while end < len(tokens) and _is_group(tokens[end]) and not text_at(tokens, end + 1) == "/":
            body, end = body + tokens[end].text, end + 1
            if not body[-3:].isdigit():
                break
    return digits_value(body), end


def _is_group(token: QuantityToken) -> bool:
    digits = token.text
    is_group = digits[:3].isdigit() and (len(digits) == 3 or (len(digits) > 4 and digits[3] in ".,"))
    return token.kind is TokenKind.NUMBER and not token.glued and is_group


def _extended(tokens: Sequence[QuantityToken], first: int, value: Fraction | None, end: int) -> tuple[Quantity, int]:
    """Return the quantity whose digits end at `end`, with what belongs to it (fraction, power, scale, percent sign)."""
    if value is not None:
        value, end = _with_fraction(tokens, value, end)
    if end == len(tokens) or (tokens[end].kind is TokenKind.WORD and tokens[end].text not in CONTINUING):
        return Quantity(value, first, end), end
    value, end = _with_power(tokens, value, end)
    value, end = _with_scale(tokens, value, end, tokens[first].raw)
    if value is not None:
        value, end = add_half(tokens, end, value)
    after = tokens[end] if end < len(tokens) else None
    if (
        after is not None
        and after.text == "h"
        and after.glued
        and _is_number(tokens, end + 1)
        and tokens[end + 1].glued
    ):
        return Quantity(None, first, end + 2, aside=True), end + 2
    is_factor = after is not None and (after.text in ("π", "√") or (after.glued and after.text in _ALGEBRA))
    if is_factor and not (after and after.text == "x" and _is_number(tokens, end + 1)):
        return Quantity(None, first, end + 1), end + 1
    return _with_percent(tokens, Quantity(value, first, end))


def _is_number(tokens: Sequence[QuantityToken], index: int) -> bool:
    return 0 <= index < len(tokens) and tokens[index].kind is TokenKind.NUMBER


def _with_fraction(tokens: Sequence[QuantityToken], value: Fraction, end: int) -> tuple[Fraction | None, int]:
    """Return the number with the fraction that follows it: "/4", " 3/4", "-3/4" or " and 3/4"."""
    if text_at(tokens, end) == "/" and _is_number(tokens, end + 1) and text_at(tokens, end + 2) != "/":
        below = digits_value(tokens[end + 1].text)
        return (value / below if below else None), end + 2
    at = end + 1 if text_at(tokens, end) in ("-", "and") else end
    if value.denominator == 1 and at < len(tokens) and tokens[at].text == FRACTION:
        fraction, after = _macro_fraction(tokens, at)
        is_proper = fraction is not None and fraction.value is not None and 0 < fraction.value < 1
        return (value + fraction.value, after) if is_proper and fraction and fraction.value else (None, after)
    if (
        value.denominator == 1
        and _is_number(tokens, at)
        and text_at(tokens, at + 1) == "/"
        and _is_number(tokens, at + 2)
    ):
        above, below = (digits_value(tokens[place].text) for place in (at, at + 2))
        if above and below and above < below and text_at(tokens, at + 3) != "/":
            return value + above / below, at + 3
    return value, end


def _with_power(tokens: Sequence[QuantityToken], value: Fraction | None, end: int) -> tuple[Fraction | None, int]:
    """Return the number raised to the exponent that follows it, or times the power of ten that follows it."""
    if text_at(tokens, end) in ("^", "**"):
        exponent, after = _exponent(tokens, end + 1)
        if exponent is None:
            return (value, after) if after else (None, end + 1)
        return _power(value, exponent), after
    if text_at(tokens, end) in _POWERS:
        return _power(value, _POWERS[text_at(tokens, end)]), end + 1
    if [text_at(tokens, end + step) for step in range(3)] == ["to", "the", "power"]:
        exponent, after = _exponent(tokens, end + 3 + (text_at(tokens, end + 3) == "of"))
        return (None if exponent is None else _power(value, exponent)), after or end + 3
    if text_at(tokens, end) in _TIMES and text_at(tokens, end + 1) == "10" and text_at(tokens, end + 2) in ("^", "**"):
        exponent, after = _exponent(tokens, end + 3)
        scale = None if exponent is None else _power(Fraction(10), exponent)
        return (None if value is None or scale is None else value * scale), after or end + 3
    return value, end


def _exponent(tokens: Sequence[QuantityToken], index: int) -> tuple[int | None, int]:
    """Return (exponent, index after it); (None, index after it) for degrees, and (None, 0) for anything else."""
    at, closing = index, {"{": "}", "(": ")"}.get(text_at(tokens, index), "")
    at += bool(closing)
    if text_at(tokens, at) in ("°", "o", "th", "st", "nd", "rd"):
        return None, at + 1 + (bool(closing) and text_at(tokens, at + 1) == closing)
    is_negative = text_at(tokens, at) == "-"
    at += text_at(tokens, at) in ("-", "+")
    digits = text_at(tokens, at)
    if not digits.isdigit() or len(digits) > 4 or (closing and text_at(tokens, at + 1) != closing):
        return None, 0
    return (-int(digits) if is_negative else int(digits)), at + 1 + bool(closing)


def _power(base: Fraction | None, exponent: int) -> Fraction | None:
    is_small = base is not None and abs(exponent) <= MAX_EXPONENT and (exponent >= 0 or base != 0)
    if (
        base is None
        or not is_small
        or (base.numerator.bit_length() + base.denominator.bit_length()) * abs(exponent) > 2_000
    ):
        return None
    return base**exponent


def _with_scale(
    tokens: Sequence[QuantityToken], value: Fraction | None, end: int, before: str
) -> tuple[Fraction | None, int]:
    """Return the number times the scale word that follows it, and what stands after that: "3万5千", "2 million 500"."""
    last = None
    for _ in range(_MAX_GROUP):
        scale, end = _scale(tokens, end, before)
        if scale is None or value is None or (last is not None and scale >= last):
            return value, end
        value, last = value * scale if last is None else value, scale
        rest = _rest(tokens, end, scale)
        if rest is None:
            return value, end
        return value + rest[0], rest[1]
    return value, end


def _rest(tokens: Sequence[QuantityToken], end: int, scale: int) -> tuple[Fraction, int] | None:
    """Return (value, index after it) of the smaller number that goes on a scaled one, or None."""
    at = end + 1 if text_at(tokens, end) == "and" else end
    if not _is_number(tokens, at) or not (tokens[at].glued or tokens[at - 1].kind is TokenKind.WORD):
        return None
    value, after = _digits(tokens, at)
    smaller, after = _scale(tokens, after, "")
    if value is None or value.denominator != 1:
        return None
    value *= smaller or 1
    return (value, after) if value < scale else None


def _scale(tokens: Sequence[QuantityToken], end: int, before: str) -> tuple[int | None, int]:
    """Return (scale, index after it) of the scale word, letter or sign at an index, or (None, the same index)."""
    at = end + 1 if text_at(tokens, end) == "-" and text_at(tokens, end + 1) in PLURAL_SCALES else end
    if at >= len(tokens):
        return None, end
    token = tokens[at]
    if token.text in PLURAL_SCALES:
        return PLURAL_SCALES[token.text], at + 1
    if token.glued and token.raw in _MONEY_SCALES and before[:1] in _CURRENCIES:
        return _MONEY_SCALES[token.raw], at + 1
    is_short = token.raw in _SHORT_SCALES and (token.glued or len(token.raw) > 1 or token.raw == "k")
    if is_short and token.kind is TokenKind.WORD:
        return _SHORT_SCALES[token.raw], at + 1
    if token.kind is not TokenKind.NUMERAL or any(sign not in CHINESE_SCALES for sign in token.text):
        return None, end
    scale = 1
    for sign in token.text[:4]:
        scale *= CHINESE_SCALES[sign]
    return scale, at + 1


def _with_percent(tokens: Sequence[QuantityToken], quantity: Quantity) -> tuple[Quantity, int]:
    """Return the quantity with the percent sign or word that follows it, and the index after it."""
    end = quantity.end
    if text_at(tokens, end) == "per" and text_at(tokens, end + 1) == "cent":
        return quantity._replace(end=end + 2, percent=True), end + 2
    if text_at(tokens, end) in PERCENT_WORDS:
        return quantity._replace(end=end + 1, percent=True), end + 1
    return quantity, end


def _chinese_fraction(
    tokens: Sequence[QuantityToken], first: int, above: int, below: Fraction | None
) -> tuple[Quantity | None, int]:
    """Return the fraction whose numerator is at `above` ("三分之二", "百分之25"), and the index after it."""
    if above >= len(tokens):
        return None, above
    token = tokens[above]
    is_number = token.kind is TokenKind.NUMBER
    value = (
        digits_value(token.text)
        if is_number
        else chinese_number(token.text)
        if token.kind is TokenKind.NUMERAL
        else None
    )
    value = None if value is None or not below else value / below
    return Quantity(value, first, above + 1), above + 1


def _macro_fraction(tokens: Sequence[QuantityToken], index: int) -> tuple[Quantity | None, int]:
    r"""Return the quantity of `\frac{3}{4}`, `\frac12` or `\frac 1 2`, without a value if it is no number's."""
    numbers: list[Fraction | None] = []
    at = index + 1
    if _is_number(tokens, at) and len(tokens[at].text) == 2 and tokens[at].text.isdigit():
        return Quantity(_quotient([Fraction(int(digit)) for digit in tokens[at].text]), index, at + 1), at + 1
    while len(numbers) < 2 and at < len(tokens):
        if text_at(tokens, at) != "{":
            numbers.append(digits_value(tokens[at].text) if _is_number(tokens, at) else None)
            at += 1
            continue
        end = _closing(tokens, at)
        is_negative = text_at(tokens, at + 1) == "-"
        start = at + 1 + is_negative
        value = digits_value(tokens[start].text) if end == start + 1 and _is_number(tokens, start) else None
        numbers.append(-value if is_negative and value is not None else value)
        at = end + 1
    value, end = _with_power(tokens, _quotient(numbers), at)
    quantity = Quantity(value, index, end)
    return _with_percent(tokens, quantity)


def _quotient(numbers: Sequence[Fraction | None]) -> Fraction | None:
    if len(numbers) != 2 or numbers[0] is None or not numbers[1]:
        return None
    return numbers[0] / numbers[1]


def _closing(tokens: Sequence[QuantityToken], start: int) -> int:
    """Return the index of the brace that closes the one at `start`, or the last of the 40 tokens that are looked at."""
    depth = 0
    for index in range(start, min(len(tokens), start + _MAX_GROUP)):
        depth += (tokens[index].text == "{") - (tokens[index].text == "}")
        if depth == 0:
            return index
    return min(len(tokens), start + _MAX_GROUP) - 1
