r"""The limits that can be told from a gold or an answer as it comes in, before any verifier reads it.

For example:

    gold_excess([[[[…]]]]) -> "more than 50 lists inside one another"
    math_excess(r"9^{9^{9}}") -> "a power of more than 100000 digits"

A gold beyond a limit makes its sample invalid; an answer beyond one is wrong. Everything here takes a time that grows
with the length of the text, and never evaluates a large number.
"""

from __future__ import annotations

import math
import re
from typing import Any

from vlaa_ray.text.answers import MAX_CHARS

MAX_DEPTH = 50
MAX_DIGITS = 1_000
MAX_POWER_DIGITS = 100_000
MAX_PARTS = 10_000
MAX_CHARS_OF_ALL = 10 * MAX_CHARS
_DIGIT_BITS = math.log2(10)
_SMALL, _FEW = 10**9, 8
_HUGE, _MAX_EXPONENT_DIGITS = 1e300, 300
# A number to the power of a number, and so on: "9^{9^{9}}". Possessive, so that no run is split in several ways.
_TOWER = re.compile(r"(?<!\d)\d++(?:(?:\^|\*\*)[{(+−-]*+\d++)++")
_NUMERAL = re.compile(r"\d++")
_BLANK = re.compile(r"\s++")


def gold_excess(gold: Any) -> str:
    """Return in words what makes the gold too large to be read, or an empty text.

    The limits are 20,000 characters a text, 200,000 in all texts, 10,000 values, 50 lists inside one another, and 1,000
    digits of an integer.
    """
    if isinstance(gold, str):
        return chars_excess(gold)
    if _is_small(gold) or (isinstance(gold, list) and len(gold) <= _FEW and all(map(_is_small, gold))):
        return ""  # the usual gold, quicker
    level, depth, num_parts, num_chars = [gold], 0, 0, 0
    while level:
        num_parts += len(level)
        if num_parts > MAX_PARTS:
            return f"more than {MAX_PARTS} values"
        if depth > MAX_DEPTH:
            return f"more than {MAX_DEPTH} lists inside one another"
        inner: list[Any] = []
        for value in level:
            if isinstance(value, float):
                continue
            if fault := _value_excess(value):
                return fault
            num_chars += len(value) if isinstance(value, str) else 0
            inner += _inside(value)
        if num_chars > MAX_CHARS_OF_ALL:
            return f"{num_chars} characters, more than {MAX_CHARS_OF_ALL}"
        level, depth = inner, depth + 1
    return ""


def _is_small(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and -_SMALL < value < _SMALL)


def chars_excess(text: str) -> str:
    """Return in words that the text has too many characters, or an empty text."""
    return f"{len(text)} characters, more than {MAX_CHARS}" if len(text) > MAX_CHARS else ""


def math_excess(text: str) -> str:
    """Return in words what makes the text too large to be parsed as mathematics, or an empty text."""
    if fault := chars_excess(text):
        return fault
    depth = deepest = digits = longest = 0
    for char in text:
        depth += (char in "{([") - (char in "})]")
        deepest = max(deepest, depth)
        digits = digits + 1 if char.isdigit() else 0
        longest = max(longest, digits)
    if deepest > MAX_DEPTH:
        return f"{deepest} brackets inside one another, more than {MAX_DEPTH}"
    if longest > MAX_DIGITS:
        return f"a number of {longest} digits, more than {MAX_DIGITS}"
    powers = _TOWER.findall(_BLANK.sub("", text)) if "^" in text or "**" in text else []
    too_large = any(_power_digits(power) > MAX_POWER_DIGITS for power in powers)
    return f"a power of more than {MAX_POWER_DIGITS} digits" if too_large else ""


def _power_digits(power: str) -> float:
    """Return the number of digits of a tower of numerals, or infinity if its exponent has more than 300 digits."""
    *below, top = (min(float(numeral), _HUGE) for numeral in _NUMERAL.findall(power))
    value, digits = top, 0.0
    for numeral in reversed(below):
        if digits > _MAX_EXPONENT_DIGITS:
            return math.inf
        digits = value * math.log10(max(numeral, 1.0))
        value = 10.0 ** min(digits, _MAX_EXPONENT_DIGITS)
    return digits


def _value_excess(value: Any) -> str:
    if isinstance(value, str):
        return chars_excess(value)
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS * _DIGIT_BITS:
        return f"a number of more than {MAX_DIGITS} digits"
    return ""


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, list | tuple | set | frozenset) else []
