"""number: a measured quantity, right within a tolerance.

For example:

    verify_number("about 12.4 cm", 12.5, rel_tol=0.05).value == 1.0
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.digit import gold_quantity, shown
from vlaa_ray.rewards.verifiers.stated_quantity import stated_quantity
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong


def verify_number(answer: str, gold: Any, *, rel_tol: float = 0.0, abs_tol: float = 0.0) -> RewardResult:
    """Return 1.0 if the number that the answer states is near the gold, else 0.0.

    It is near if it differs by at most |gold| · `rel_tol`, or by at most `abs_tol`. Units, degrees and words around the
    number don't count; "1.2 million" and "1.2k" are multiplied. If only one side has "%" or "percent", its "25%" counts
    as 25 and as 0.25. Invalid if the gold is not exactly one number.
    """
    target = gold_quantity(gold)
    if isinstance(target, str):
        return invalid(answer, target)
    stated = stated_quantity(answer)
    if isinstance(stated, str):
        return wrong(answer, stated)
    number, right = stated.value, target.value
    if number is None or right is None:
        return wrong(answer, "the answer states no number")
    allowed = max(abs(right) * Fraction(str(rel_tol)), Fraction(str(abs_tol)))
    given = [number]
    if stated.percent != target.percent:
        given.append(number / 100 if stated.percent else number * 100)
    if any(abs(value - right) <= allowed for value in given):
        return scored(1.0, answer)
    return wrong(answer, f"{shown(number)} differs from {shown(right)} by more than {shown(allowed)}")
