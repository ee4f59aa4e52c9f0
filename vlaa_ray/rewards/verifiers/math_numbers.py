"""Compares numbers without symbols by relative error, at any magnitude.

equal_numbers(Float("9.11e-31"), Float("6.63e-34")) is False
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Float, Mul, Rational, UnevaluatedExpr
from sympy.core.function import AppliedUndef

# What sympy raises if it can't compare two sides (1/0, a set with a matrix). Memory and recursion errors are raised on.
NOT_COMPARABLE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
PERCENT = UnevaluatedExpr(Rational(1, 100))
_SAME = 1e-9
_ROUNDED, _ROUNDED_RELATIVE = 1e-6, 1e-4  # Math-Verify rounds decimals to six places; a tiny number needs more
_EXACT = 1e-30


def is_number(side: Any) -> bool:
    """Return whether the side is an expression without symbols."""
    return isinstance(side, Expr) and not side.free_symbols and not side.has(AppliedUndef)


def equal_numbers(gold: Any, answer: Any) -> bool | None:
    """Return whether two numbers are equal at any magnitude; None if that can't be decided here.

    Exact numbers must be equal. A decimal may differ by a relative error of 1e-9, or as Math-Verify rounds it: by 1e-6,
    as long as that is at most 1e-4 of the number. A number may also equal a percentage without its sign.
    """
    bare = [side.args[0] if _is_percentage(side) else side for side in (gold, answer)]
    if bare[0] is gold and bare[1] is answer:
        return _close(gold, answer)
    if bare[0] is not gold and bare[1] is not answer:
        return _close(bare[0], bare[1])
    values = [side.args[0] / 100 if _is_percentage(side) else side for side in (gold, answer)]
    return _close(values[0], values[1]) or _close(bare[0], bare[1])


def _is_percentage(side: Any) -> bool:
    return isinstance(side, Mul) and len(side.args) == 2 and side.args[1] == PERCENT


def _close(left: Any, right: Any) -> bool | None:
    if isinstance(left, Rational) and isinstance(right, Rational):
        return bool(left == right)
    try:
        difference, size, other = (_magnitude(side) for side in (left - right, left, right))
    except NOT_COMPARABLE:
        return None
    if difference is None or size is None or other is None or size.is_infinite or other.is_infinite:
        return None
    size = max(size, other)
    if left.has(Float) or right.has(Float):
        small = difference < _ROUNDED and difference <= _ROUNDED_RELATIVE * size
        return bool(difference <= _SAME * size or small)
    return bool(difference <= _EXACT * max(size, Float("1e-300")))


def _magnitude(side: Any) -> Any:
    """Return the absolute value as a sympy number of any exponent, or None."""
    value = abs(side.doit().evalf(15, maxn=200))
    return value if (value.is_number and value.is_comparable) or value == 0 else None
