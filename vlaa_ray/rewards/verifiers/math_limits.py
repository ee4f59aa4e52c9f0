"""Limits that can be told from a text before it is parsed: length, depth, digits, and the size of a power.

For example:

    excess("((((…") == "60 brackets inside one another, more than 50"
    has_huge_power("9^{9^{9}}") is True
"""

from __future__ import annotations

import math
import re

from vlaa_ray.text.answers import chars_excess

MAX_DEPTH = 50
MAX_DIGITS = 1_000
MAX_EXPRESSION_DEPTH = 12
MAX_POWER_DIGITS = 100_000
# A bracket that closes ends a tower: (2^3)^4 is small.
_TOWER = re.compile(r"(?:(?<![\d.])\d[\d.]*|[a-zA-Z]|[)}])(?:\s?(?:\^|\*\*)\s?(?:\(\d+\)|\{\d+\}|[{(]{0,3}[+-]?\d+))+")
_NUMBER = re.compile(r"\d[\d.]*")
_FACTORIAL = re.compile(r"(\d+)\s*!")
_NESTED_FACTORIAL = re.compile(r"!\s*[)}]+\s*!")


def excess(text: str) -> str:
    """Return in words what makes the text too long or too deep to be parsed, or an empty text."""
    if too_long := chars_excess(text):
        return too_long
    deepest, digits, longest = depth_of(text), 0, 0
    for char in text:
        digits = digits + 1 if char.isdigit() else 0
        longest = max(longest, digits)
    if deepest > MAX_DEPTH:
        return f"{deepest} brackets inside one another, more than {MAX_DEPTH}"
    return f"a number of {longest} digits, more than {MAX_DIGITS}" if longest > MAX_DIGITS else ""


def depth_of(text: str) -> int:
    """Return how many brackets stand inside one another at most."""
    depth = deepest = 0
    for char in text:
        depth += (char in "{([") - (char in "})]")
        deepest = max(deepest, depth)
    return deepest


def has_huge_power(text: str) -> bool:
    """Return whether a power or a factorial in the text has more than 100,000 digits."""
    if "^" not in text and "**" not in text and "!" not in text:
        return False
    if _NESTED_FACTORIAL.search(text):
        return True
    if any(len(match.group(1)) > 5 or int(match.group(1)) > 20_000 for match in _FACTORIAL.finditer(text)):
        return True
    return any(_is_huge_tower(match.group()) for match in _TOWER.finditer(text))


def _is_huge_tower(tower: str) -> bool:
    """Return whether a^b^c… has too many digits. A letter at the bottom counts as 2."""
    head, *rest = re.split(r"\^|\*\*", tower)
    base = _NUMBER.search(head)
    levels = [float(base.group()) if base and base.group().count(".") < 2 else 2.0]
    levels += [float(match.group()) for part in rest if (match := _NUMBER.search(part))]
    value = levels.pop()
    while levels:
        base_value = levels.pop()
        digits = value * math.log10(max(1.0, base_value))
        if digits > MAX_POWER_DIGITS:
            return True
        value = base_value**value if digits < 300 else 1e300
    return False
