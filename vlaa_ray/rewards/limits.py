"""The limits that can be told from a gold as it comes in, before any verifier reads it.

    gold_excess([[[[…]]]]) -> "more than 50 lists inside one another"

A gold beyond a limit makes its sample invalid. The time grows with the length of the gold. What is too large only for
mathematics is told by `verifiers/math_limits.py`.
"""

from __future__ import annotations

import math
from typing import Any

from vlaa_ray.rewards.verifiers.math_limits import MAX_DEPTH, MAX_DIGITS
from vlaa_ray.text.answers import MAX_CHARS, chars_excess

MAX_PARTS = 10_000
MAX_CHARS_OF_ALL = 10 * MAX_CHARS
_DIGIT_BITS = math.log2(10)
_SMALL, _FEW = 10**9, 8


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
