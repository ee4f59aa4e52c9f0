"""Numbers in digits, with separators as people group them.

For example:

    digits_value("1,234.5") == digits_value("1.234,5") == digits_value("1'234.5") == Fraction("1234.5")
    digits_value("1.2.3") is None
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

MAX_DIGITS = 40
"""The number of digits of a number at most; a longer one has no value."""
MAX_EXPONENT = 400
_NUMBER = re.compile(r"(\d*(?:[.,'_]\d+)*)(?:[eE]([-+]?\d+))?")


def digits_value(text: str) -> Fraction | None:
    """Return the value of a number in digits, or None if its separators are no number's ("1.2.3") or it is too long.

    Several equal separators group digits. A single comma before three digits groups them, unless the number begins
    with 0; before other digits it is a decimal comma. A single point is a decimal point.
    """
    if text.isdigit() and len(text) <= MAX_DIGITS:
        return Fraction(int(text))
    match = _NUMBER.fullmatch(text) if len(text) <= 2 * MAX_DIGITS else None
    if match is None:
        return None
    body, exponent = match.group(1), int(match.group(2) or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    separators = [char for char in body if not char.isdigit()]
    if separators:
        plain = _without_groups(body, separators)
        if plain is None:
            return None
        body = plain
    if len(body) > MAX_DIGITS + ("." in body):
        return None
    value = Fraction(int(body)) if body.isdigit() else Fraction(body if body[0] != "." else "0" + body)
    return value * Fraction(10) ** exponent if exponent else value


def _without_groups(body: str, separators: Sequence[str]) -> str | None:
    """Return the digits with a point at most, or None if the separators are no number's."""
    last = separators[-1]
    parts = re.split(r"[.,'_]", body)
    if len(separators) == 1:
        is_group = len(parts[1]) == 3 and 0 < len(parts[0]) <= 3 and parts[0][0] != "0"
        if last == "." or (last == "," and not is_group):
            return f"{parts[0] or '0'}.{parts[1]}"
        return "".join(parts) if is_group else None
    if len(set(separators)) == 1:
        return "".join(parts) if _are_groups(parts, last) else None
    if (
        last in ".,"
        and separators.count(last) == 1
        and len(set(separators)) == 2
        and _are_groups(parts[:-1], separators[0])
    ):
        return "".join(parts[:-1]) + "." + parts[-1]
    return None


def _are_groups(parts: Sequence[str], separator: str) -> bool:
    """Return whether digits stand in groups of three, or in India's: 12,34,567."""
    if not 0 < len(parts[0]) <= 3 or len(parts[-1]) != 3 or parts[0][0] == "0":
        return False
    inner = {len(part) for part in parts[1:-1]}
    return inner <= {3} or (separator == "," and inner == {2} and len(parts[0]) <= 2)
