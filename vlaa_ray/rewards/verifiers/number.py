"""number: a measured quantity, right within a tolerance.

For example:

    verify_number("about 12.4 cm", 12.5, rel_tol=0.05).value == 1.0
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.digit import last_number
from vlaa_ray.rewards.verifiers.verdicts import scored, wrong
from vlaa_ray.text.answers import unboxed


def verify_number(answer: str, gold: Any, *, rel_tol: float = 0.0, abs_tol: float = 0.0) -> RewardResult:
    """Return 1.0 if the last number of the answer is near the gold, else 0.0.

    It is near if it differs by at most |gold| · `rel_tol`, or by at most `abs_tol`. Units, degrees and words around the
    numbers don't count. If only one side has "%", its "25%" counts as 25 and as 0.25. Invalid if the gold is not
    exactly one number.
    """
    read = last_number(answer, gold)
    if isinstance(read, RewardResult):
        return read
    number, target = read
    allowed = max(abs(target) * Decimal(str(rel_tol)), Decimal(str(abs_tol)))
    given, is_percent = [number], "%" in unboxed(answer)
    if is_percent != ("%" in str(gold)):
        given.append(number / 100 if is_percent else number * 100)
    if any(abs(value - target) <= allowed for value in given):
        return scored(1.0, answer)
    return wrong(answer, f"{number} differs from {target} by more than {allowed.normalize():f}")
