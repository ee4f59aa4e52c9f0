"""number: a measured quantity, right within a tolerance.

verify_number("about 12.4 cm", 12.5, rel_tol=0.05).value == 1.0
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.digit import MAX_NUMBERS, gold_number, numbers_in
from vlaa_ray.rewards.extraction import unboxed
from vlaa_ray.rewards.verdicts import invalid, scored, wrong


def verify_number(answer: str, gold: Any, *, rel_tol: float = 0.0, abs_tol: float = 0.0) -> RewardResult:
    """1.0 if the last number of the answer is within |gold| · `rel_tol`, or within `abs_tol`, of the gold; else 0.0.

    Units, degrees and words around the numbers don't count; "25%" is 25 as well as 0.25 where just one side has "%".
    """
    target = gold_number(gold)
    if target is None:
        return invalid(answer, f"gold is not one number: {str(gold)[:80]!r}")
    text = unboxed(answer)
    numbers = numbers_in(text)
    if not numbers:
        return wrong(answer, "no number in the answer")
    if len(set(numbers)) > MAX_NUMBERS:
        return wrong(answer, f"{len(set(numbers))} different numbers in the answer")
    allowed = max(abs(target) * Decimal(str(rel_tol)), Decimal(str(abs_tol)))
    given = [numbers[-1]]
    if ("%" in text) != ("%" in str(gold)):
        given.append(given[0] / 100 if "%" in text else given[0] * 100)
    if any(abs(value - target) <= allowed for value in given):
        return scored(1.0, answer)
    return wrong(answer, f"{numbers[-1]} is not {target} within {allowed.normalize():f}")
