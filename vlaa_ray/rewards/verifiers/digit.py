"""digit: 1 if the answer states the gold's number, else 0 (the paper's counting reward, arXiv 2504.11468, 4.1).

For example:

    verify_digit("There are three cubes.", 3).value == 1.0
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.number_digits import MAX_DIGITS
from vlaa_ray.rewards.verifiers.quantities import Quantity
from vlaa_ray.rewards.verifiers.stated_quantity import only_quantity, stated_quantity
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong

_LIMIT = 10**MAX_DIGITS


def verify_digit(answer: str, gold: Any, *, partial_credit: bool = False) -> RewardResult:
    """Return 1.0 if the number that the answer states equals the gold, else 0.0.

    Numbers are read whole, in digits or in words, and "no cats" states 0. An answer that states no number, such as one
    that names two, or more than 8 different ones, earns 0.0. With `partial_credit`, a number that is off by d earns
    max(0, 1 - d / max(1, |gold|)). Invalid if the gold is not exactly one number.
    """
    target = gold_quantity(gold)
    if isinstance(target, str):
        return invalid(answer, target)
    stated = stated_quantity(answer, counts=True)
    if isinstance(stated, str):
        return wrong(answer, stated)
    number, right = stated.value, target.value
    if number is None or right is None:
        return wrong(answer, "the answer states no number")
    if number == right:
        return scored(1.0, answer)
    reason = f"{shown(number)} is not {shown(right)}"
    if not partial_credit:
        return wrong(answer, reason)
    return scored(float(max(Fraction(0), 1 - abs(number - right) / max(abs(right), Fraction(1)))), answer, reason)


def gold_quantity(gold: Any) -> Quantity | str:
    """Return the only quantity of a gold, or the reason in words why the gold is not one number."""
    if isinstance(gold, str):
        read = only_quantity(gold)
        return f"gold is not one number: {gold[:80]!r}: {read}" if isinstance(read, str) else read
    if isinstance(gold, bool) or not isinstance(gold, int | float):
        return f"gold is not one number: it is of type {type(gold).__name__}"
    if isinstance(gold, float) and not math.isfinite(gold):
        return f"gold is not one number: {gold}"
    if abs(gold) >= _LIMIT:
        return f"gold is not one number that can be read: it has more than {MAX_DIGITS} digits"
    return Quantity(Fraction(gold if isinstance(gold, int) else str(gold)), 0, 1)


def shown(number: Fraction) -> str:
    """Return a number in digits for a message: "2.5", "1/3"; rounded if it is long."""
    if number.denominator == 1 and abs(number) < _LIMIT:
        return str(number.numerator)
    if number.denominator <= 1000:
        return f"{number.numerator / number.denominator:.10g}" if 1000 % number.denominator == 0 else str(number)
    return f"about 10^{round(math.log10(abs(number.numerator)) - math.log10(number.denominator))}" if number else "0"
