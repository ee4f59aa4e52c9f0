"""digit: 1 if the answer's number is the gold one, else 0 (the paper's counting reward, arXiv 2504.11468, 4.1).

verify_digit("There are 3 cubes.", 3).value == 1.0
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.extraction import unboxed
from vlaa_ray.rewards.verdicts import invalid, scored, wrong

# A sign counts only where it can't be a hyphen or a range ("A-3", "2-3").
_NUMBER = re.compile(r"(?<![\w.])(?:(?<![\w.)])[-\u2212])?\d{1,20}(?:,\d{3})*(?:\.\d{1,20})?(?!\d)")
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_WORD = re.compile(r"\b(?:" + "|".join(_WORDS) + r")\b", re.IGNORECASE)
_MAX_NUMBERS = 8


def verify_digit(answer: str, gold: Any) -> RewardResult:
    """1.0 if the last number of the answer equals the gold; 0.0 where there is none, or a list of many numbers."""
    target = _gold_number(gold)
    if target is None:
        return invalid(answer, f"gold is not one number: {str(gold)[:80]!r}")
    numbers = _numbers(unboxed(answer))
    if not numbers:
        return wrong(answer, "no number in the answer")
    if len(set(numbers)) > _MAX_NUMBERS:
        return wrong(answer, f"{len(set(numbers))} different numbers in the answer")
    return scored(1.0, answer) if numbers[-1] == target else wrong(answer, f"{numbers[-1]} is not {target}")


def _numbers(text: str) -> list[Decimal]:
    digits = [Decimal(match.replace(",", "").replace("\u2212", "-")) for match in _NUMBER.findall(text)]
    return digits or [Decimal(_WORDS.index(match.lower())) for match in _WORD.findall(text)]


def _gold_number(gold: Any) -> Decimal | None:
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        return None
    numbers = _numbers(str(gold))
    return numbers[0] if len(numbers) == 1 else None
