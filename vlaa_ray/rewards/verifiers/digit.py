"""digit: 1 if the answer's number is the gold one, else 0 (the paper's counting reward, arXiv 2504.11468, 4.1).

For example:

    verify_digit("There are 3 cubes.", 3).value == 1.0
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import unboxed

# A minus sign counts only where it can't be a hyphen or a range ("A-3", "2-3").
_NUMBER = re.compile(r"(?<![\w.])(?:(?<![\w.)])[-\u2212])?\d{1,20}(?:,\d{3})*(?:\.\d{1,20})?(?!\d)")
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_WORD = re.compile(r"\b(?:" + "|".join(_WORDS) + r")\b", re.IGNORECASE)
_MAX_NUMBERS = 8


def verify_digit(answer: str, gold: Any, *, partial_credit: bool = False) -> RewardResult:
    """Return 1.0 if the last number of the answer equals the gold, else 0.0.

    An answer without a number, or with more than 8 different ones, earns 0.0. With `partial_credit`, a number that is
    off by d earns max(0, 1 - d / max(1, |gold|)). Invalid if the gold is not exactly one number.
    """
    read = last_number(answer, gold)
    if isinstance(read, RewardResult):
        return read
    number, target = read
    if number == target:
        return scored(1.0, answer)
    reason = f"{number} is not {target}"
    if not partial_credit:
        return wrong(answer, reason)
    return scored(max(0.0, float(1 - abs(number - target) / max(abs(target), Decimal(1)))), answer, reason)


def last_number(answer: str, gold: Any) -> tuple[Decimal, Decimal] | RewardResult:
    """Return (last number of the answer, the gold's number), or the verdict if there are no such numbers.

    The verdict is invalid if the gold is not one number, and 0.0 if the answer has no number or more than 8 different
    ones.
    """
    target = _gold_number(gold)
    if target is None:
        return invalid(answer, f"gold is not one number: {str(gold)[:80]!r}")
    numbers = _numbers(unboxed(answer))
    if not numbers:
        return wrong(answer, "no number in the answer")
    if len(set(numbers)) > _MAX_NUMBERS:
        return wrong(answer, f"{len(set(numbers))} different numbers in the answer, more than {_MAX_NUMBERS}")
    return numbers[-1], target


def _numbers(text: str) -> list[Decimal]:
    """Return the numbers of a text in their order. Words such as "three" count only if the text has no digits."""
    digits = [Decimal(match.replace(",", "").replace("\u2212", "-")) for match in _NUMBER.findall(text)]
    return digits or [Decimal(_WORDS.index(match.lower())) for match in _WORD.findall(text)]


def _gold_number(gold: Any) -> Decimal | None:
    """Return the only number in a gold, or None."""
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        return None
    numbers = _numbers(str(gold))
    return numbers[0] if len(numbers) == 1 else None
