"""Compares what has been read of a gold and an answer: numbers by relative error, sets as sets, ratios by their terms.

    equal(Expressions((Integer(3),)), Expressions((Rational(6, 2),))) is True

What no rule here decides goes to Math-Verify. The gold is always the first argument, because its `verify` isn't
symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from latex2sympy2_extended.sets import FiniteSet as OrderedFiniteSet
from math_verify import verify
from sympy import (
    Eq,
    Expr,
    FiniteSet,
    Float,
    Integer,
    Interval,
    MatrixBase,
    Rational,
    Symbol,
    Tuple,
    UnevaluatedExpr,
    binomial,
    factorial,
)
from sympy.core.function import AppliedUndef

from vlaa_ray.rewards.verifiers.math_numbers import NOT_COMPARABLE, equal_numbers, is_number
from vlaa_ray.rewards.verifiers.math_sets import equal_as_sets

_CLEARLY = 1e-3
_TWO_DECIMALS, _TWO_PERCENT = 0.005, 0.02


class Ratio(NamedTuple):
    """The terms of a ratio, in their order."""

    terms: tuple[Any, ...]


class Range(NamedTuple):
    """A range in words, such as "2 to 5". It may stand for a ratio, too."""

    low: Any
    high: Any


class Expressions(NamedTuple):
    """The expressions of one side. `ordered` says that their order counts, `any_of` that "or" stands between them."""

    parts: tuple[Any, ...]
    ordered: bool = False
    any_of: bool = False


def equal(gold: Expressions, answer: Expressions) -> bool:
    """Return whether two sides are mathematically equal."""
    left, right = _flat(gold.parts), _flat(answer.parts)
    try:
        as_sets = equal_as_sets(left, right, gold.any_of, answer.any_of)
    except NOT_COMPARABLE:
        as_sets = None
    if as_sets is not None:
        return as_sets
    if len(left) == 1 and len(right) == 1:
        return _equal(left[0], right[0])
    if len(gold.parts) == 1 and len(answer.parts) == 1 and _equal(gold.parts[0], answer.parts[0]):
        return True
    if len(left) == 1:
        return bool(right) and (all(_equal(left[0], part) for part in right) or _equal_coordinates(right, left[0]))
    if len(right) == 1:
        return _equal_coordinates(left, right[0])
    if len(left) != len(right):
        return False
    return all(map(_equal, left, right)) or (not (gold.ordered and answer.ordered) and _match(left, right))


def _match(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Return whether each part of the gold has a part of the answer for itself."""
    rest = list(right)
    for part in left:
        index = next((index for index, other in enumerate(rest) if _equal(part, other)), None)
        if index is None:
            return False
        del rest[index]
    return True


def _flat(parts: Sequence[Any]) -> list[Any]:
    """Return the parts with the members of lists such as "2, 3" and "x = 1 ± 2" for the lists."""
    flat: list[Any] = []
    for part in parts:
        if isinstance(part, OrderedFiniteSet | FiniteSet) and part.args:
            flat += list(getattr(part, "_unsorted_args", part.args))
        elif isinstance(part, Eq) and isinstance(part.rhs, FiniteSet) and isinstance(part.lhs, Symbol):
            flat += [Eq(part.lhs, value, evaluate=False) for value in part.rhs.args]
        else:
            flat.append(part)
    return flat


def _equal_coordinates(parts: Sequence[Any], point: Any) -> bool:
    """Return whether assignments such as x = 1, y = 2 name the coordinates of the point (1, 2)."""
    coordinates = _as_tuple(point)
    if coordinates is None or len(coordinates) != len(parts) or not all(isinstance(part, Eq) for part in parts):
        return False
    if not all(isinstance(part.lhs, Symbol) for part in parts) or len({part.lhs for part in parts}) != len(parts):
        return False
    values = [part.rhs for part in sorted(parts, key=lambda part: str(part.lhs))]
    return all(map(_equal, values, coordinates))


def _equal(gold: Any, answer: Any) -> bool:
    if isinstance(gold, Ratio) or isinstance(answer, Ratio):
        return _equal_ratios(*(Ratio(tuple(side)) if isinstance(side, Range) else side for side in (gold, answer)))
    if isinstance(gold, Range) or isinstance(answer, Range):
        return _equal_ranges(gold, answer)
    gold, answer = _alike(gold, answer)
    if is_number(gold) and is_number(answer):
        decided = equal_numbers(gold, answer)
        if decided is not None:
            return decided
    if isinstance(gold, Tuple) and isinstance(answer, Tuple):
        return len(gold) == len(answer) and all(map(_equal_member, gold, answer))
    if isinstance(gold, MatrixBase) and isinstance(answer, MatrixBase):
        return gold.shape == answer.shape and all(map(_equal_member, gold.doit().flat(), answer.doit().flat()))
    if isinstance(gold, Interval) and isinstance(answer, Interval):
        same_ends = gold.left_open == answer.left_open and gold.right_open == answer.right_open
        return bool(same_ends) and _equal_member(gold.start, answer.start) and _equal_member(gold.end, answer.end)
    if _differ_numerically(gold, answer):
        return False
    try:
        return bool(verify(gold, answer, timeout_seconds=None, raise_on_error=True))
    except NOT_COMPARABLE:
        return False


def _equal_member(gold: Any, answer: Any) -> bool:
    """Return whether two members of a point, a matrix or an interval are equal.

    In such a list, two decimals are enough for a gold that no decimal can write, such as 0.33 for 1/3.
    """
    if _equal(gold, answer):
        return True
    if not is_number(gold) or not isinstance(answer, Float) or gold.has(Float) or _is_terminating(gold):
        return False
    try:
        return bool(abs(gold.evalf(15) - answer) <= min(_TWO_DECIMALS, _TWO_PERCENT * abs(answer)))
    except NOT_COMPARABLE:
        return False


def _is_terminating(number: Any) -> bool:
    return isinstance(number, Rational) and (10**12 * number).is_integer is True


def _alike(gold: Any, answer: Any) -> tuple[Any, Any]:
    """Return both sides in one form if they are a named point, a vector, or functions with other names."""
    if isinstance(gold, Eq) and isinstance(answer, Eq) and gold.lhs != answer.lhs:
        if _names_function(gold.lhs) and _names_function(answer.lhs) and type(gold.lhs) is not type(answer.lhs):
            return gold.rhs, answer.rhs
        if _differ_by_index(gold.lhs, answer.lhs):
            return gold.rhs, answer.rhs
    for one, other in ((gold, answer), (answer, gold)):
        if (
            isinstance(one, AppliedUndef)
            and len(one.args) == 2
            and all(arg.is_Integer for arg in one.args)
            and str(one.func).lower() in ("c", "p")
            and is_number(other)
        ):
            value = binomial(*one.args) * (factorial(one.args[1]) if str(one.func).lower() == "p" else 1)
            return (value, other) if one is gold else (other, value)
    # An interval and a point are written the same way, so two of a kind stay as they are.
    points = [_as_tuple(side) for side in (gold, answer)]
    plain = [isinstance(side, Tuple | Interval) for side in (gold, answer)]
    if points[0] is not None and points[1] is not None and not all(plain):
        return points[0], points[1]
    return gold, answer


def _names_function(side: Any) -> bool:
    return isinstance(side, AppliedUndef) or (isinstance(side, Symbol) and side.name == "y")


def _differ_by_index(left: Any, right: Any) -> bool:
    """Return whether one name is the other with an index: x and x_1, but not x_1 and x_2."""
    if not isinstance(left, Symbol) or not isinstance(right, Symbol):
        return False
    names = [str(name).partition("_") for name in (left, right)]
    return names[0][0] == names[1][0] and bool(names[0][1]) != bool(names[1][1])


def _as_tuple(side: Any) -> Tuple | None:
    """Return a point or a vector as a tuple, or None if it is neither."""
    if isinstance(side, Eq) and isinstance(side.lhs, Symbol):
        side = side.rhs
    if isinstance(side, Tuple):
        return side
    if isinstance(side, Interval) and side.left_open and side.right_open:
        return Tuple(side.start, side.end)
    if isinstance(side, AppliedUndef) and len(side.args) > 1:
        return Tuple(*side.args)
    if isinstance(side, MatrixBase) and 1 in side.shape:
        return Tuple(*side.flat())
    return None


def _equal_ranges(gold: Any, answer: Any) -> bool:
    ends = [
        (side.start, side.end) if isinstance(side, Interval) and not side.left_open and not side.right_open else side
        for side in (gold, answer)
    ]
    return all(isinstance(side, tuple) for side in ends) and all(map(_equal, *ends))


def _equal_ratios(gold: Any, answer: Any) -> bool:
    left, right = _terms(gold), _terms(answer)
    if left is None or right is None or len(left) != len(right):
        return False
    return all(
        _equal(a * d, b * c) for (a, b), (c, d) in zip(pairwise(left), pairwise(right), strict=True)
    )  # fmt: skip


def _terms(side: Any) -> tuple[Any, ...] | None:
    """Return the terms of a ratio; a fraction is the ratio of two. None if a term is zero or the side is no ratio."""
    if isinstance(side, Eq):
        side = side.rhs
    terms = side.terms if isinstance(side, Ratio) else (side, Integer(1)) if isinstance(side, Expr) else None
    return None if terms is None or not all(isinstance(term, Expr) for term in terms) else terms


def _differ_numerically(gold: Any, answer: Any) -> bool:
    """Return whether two expressions clearly differ in value at one point. This is much quicker than `simplify`.

    Two equations differ where they give one symbol, which stands alone on their left, by different expressions.
    """
    if isinstance(gold, Eq) and isinstance(answer, Eq) and gold.lhs == answer.lhs and isinstance(gold.lhs, Symbol):
        is_given = gold.lhs not in gold.rhs.free_symbols | answer.rhs.free_symbols
        return is_given and _differ_numerically(gold.rhs, answer.rhs)
    sides = (gold, answer)
    if not all(isinstance(side, Expr) and not side.is_Symbol and not side.has(UnevaluatedExpr) for side in sides):
        return False
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    point = {symbol: Rational(7 + 4 * index, 5 + index) for index, symbol in enumerate(symbols)}
    try:
        left, right = (complex(side.evalf(15, subs=point)) for side in sides)
        return abs(left - right) > _CLEARLY * max(abs(left), abs(right))
    except NOT_COMPARABLE:
        return False
