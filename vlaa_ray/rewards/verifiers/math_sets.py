"""Reads inequalities, intervals and conditions as sets of reals, and compares them.

x > 3 and (3, oo) are one set; so are x >= 0 and x <= 2, and [0, 2].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latex2sympy2_extended.logic import And
from sympy import (
    Complement,
    EmptySet,
    Eq,
    Expr,
    FiniteSet,
    GreaterThan,
    Intersection,
    Interval,
    LessThan,
    Ne,
    Reals,
    Set,
    StrictGreaterThan,
    StrictLessThan,
    Symbol,
    Union,
    oo,
)
from sympy.core.relational import Relational

from vlaa_ray.rewards.verifiers.math_numbers import NOT_COMPARABLE, equal_numbers

_MIRROR: dict[type, type] = {
    StrictGreaterThan: StrictLessThan,
    StrictLessThan: StrictGreaterThan,
    GreaterThan: LessThan,
    LessThan: GreaterThan,
    Ne: Ne,
}


def equal_as_sets(gold: Sequence[Any], answer: Sequence[Any], gold_any_of: bool, answer_any_of: bool) -> bool | None:
    """Return whether two lists of conditions and sets are the same set of reals.

    `any_of` says that "or" stands between the items of a list. None unless one side is a set or a list and one has
    inequalities.
    """
    sides = (gold, answer)
    if not any(map(_has_inequality, sides)) or not any(_is_set(side) or len(side) > 1 for side in sides):
        return None
    variables = [_variables(side) for side in sides]
    if any(len(names) > 1 for names in variables) or (variables[0] and variables[1] and variables[0] != variables[1]):
        return None
    left, right = _set_of(gold, gold_any_of), _set_of(answer, answer_any_of)
    return None if left is None or right is None else _equal_sets(left, right)


def _has_inequality(side: Sequence[Any]) -> bool:
    return any(isinstance(part, And) or (isinstance(part, Relational) and not isinstance(part, Eq)) for part in side)


def _is_set(side: Sequence[Any]) -> bool:
    return all(_given_set(part) is not None for part in side)


def _variables(side: Sequence[Any]) -> set[str]:
    return {str(symbol) for part in side if not isinstance(part, Set) for symbol in part.free_symbols}


def _set_of(side: Sequence[Any], any_of: bool) -> Set | None:
    sets = [_solutions(part) for part in side]
    known = [part for part in sets if part is not None]
    if len(known) != len(sets) or not known:
        return None
    if any_of or not all(isinstance(part, Relational | And) for part in side):
        return Union(*known)
    joint = Intersection(*known)
    # "x < 1, x > 2" and "x < 1 and x > 2" are written for "or".
    return Union(*known) if joint == EmptySet and len(known) > 1 else joint


def _given_set(part: Any) -> Set | None:
    """Return the set that is written as one: an interval, or "x is in an interval"."""
    if isinstance(part, Eq) and isinstance(part.lhs, Symbol):
        part = part.rhs
    return part if isinstance(part, Set) and not part.free_symbols else None


def _solutions(part: Any) -> Set | None:
    given = _given_set(part)
    if given is not None:
        return given
    if isinstance(part, And):
        sets = [_solutions(condition) for condition in getattr(part, "_unsorted_args", part.args)]
        return None if any(one is None for one in sets) else Intersection(*sets)
    if isinstance(part, Expr) and not part.free_symbols:
        return FiniteSet(part)
    if not isinstance(part, Relational) or len(part.free_symbols) != 1:
        return None
    left, right, kind = part.lhs, part.rhs, type(part)
    if isinstance(right, Symbol):
        left, right, kind = right, left, _MIRROR.get(kind, kind)
    if not isinstance(left, Symbol) or right.free_symbols:
        variable = next(iter(part.free_symbols))
        plain = Symbol("x", real=True)
        solved: Set = part.subs(variable, plain).as_set()
        return solved
    return _half_line(kind, right)


def _half_line(kind: type, bound: Any) -> Set | None:
    if issubclass(kind, Eq):
        return FiniteSet(bound)
    if issubclass(kind, Ne):
        return Union(Interval.open(-oo, bound), Interval.open(bound, oo))
    lines = {
        StrictGreaterThan: Interval.open(bound, oo),
        GreaterThan: Interval(bound, oo),
        StrictLessThan: Interval.open(-oo, bound),
        LessThan: Interval(-oo, bound),
    }
    return lines.get(kind)


def _equal_sets(left: Set, right: Set) -> bool:
    left, right = (_plain_set(side) for side in (left, right))
    if left == right:
        return True
    if isinstance(left, Interval) and isinstance(right, Interval):
        same_ends = left.left_open == right.left_open and left.right_open == right.right_open
        return bool(same_ends) and _equal_ends(left, right)
    if isinstance(left, Union) and isinstance(right, Union) and len(left.args) == len(right.args):
        return all(map(_equal_sets, left.args, right.args))
    try:
        return bool(left.symmetric_difference(right).is_empty)
    except NOT_COMPARABLE:
        return False


def _equal_ends(left: Interval, right: Interval) -> bool:
    return all(
        one == other or bool(equal_numbers(one, other))
        for one, other in ((left.start, right.start), (left.end, right.end))
    )


def _plain_set(side: Set) -> Set:
    if isinstance(side, Complement):
        base, gone = side.args
        return Complement(Interval(-oo, oo) if base == Reals else base, gone, evaluate=True)
    return Interval(-oo, oo) if side == Reals else side
