"""Gives values of table columns the type with which their publisher wrote them.

    conversions(dataset)  -> {"answer": <function>}, where `answer` is a column of float32
    <function>(0.10000000149011612)  -> 0.1

Arrow widens single precision, keeps names of classes as numbers, and makes an integer column with holes one of floats.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import numpy as np

Convert = Callable[[Any], Any]


def conversions(dataset: Any) -> dict[str, Convert]:
    """Return for each column of a dataset whose values Arrow has changed the function that gives them back.

    - float16 and float32: the shortest decimal number that they stand for (0.1, not 0.10000000149011612).
    - decimal: an int or a float; text where a float would lose digits.
    - a class label: its name.
    - floats of a column with holes that are all whole numbers: ints; holes stay None or NaN.
    """
    found = {}
    for name, feature in dataset.features.items():
        convert = _of_feature(feature) or _of_type(dataset.data.schema.field(name).type)
        if convert is None and _is_integer_with_holes(dataset.data.column(name)):
            convert = _whole
        if convert is not None:
            found[name] = convert
    return found


def _of_feature(feature: Any) -> Convert | None:
    from datasets import ClassLabel

    if not isinstance(feature, ClassLabel):
        return None
    names = list(feature.names)
    return lambda value: names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _of_type(kind: Any) -> Convert | None:
    """Return the conversion of an Arrow type, and of the types that a list or a struct holds; None for most types."""
    from pyarrow import types

    if types.is_float16(kind) or types.is_float32(kind):
        return _shortest
    if types.is_decimal(kind):
        return _from_decimal
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _of_type(kind.value_type)
        return inner and (lambda values: values and [inner(value) for value in values])
    if types.is_struct(kind):
        inside = {field.name: convert for field in kind if (convert := _of_type(field.type))}
        return (
            (lambda held: held and {**held, **{name: inside[name](held[name]) for name in inside}}) if inside else None
        )
    return None


def _is_integer_with_holes(column: Any) -> bool:
    from pyarrow import compute, types

    if not types.is_float64(column.type):
        return False
    holes = compute.is_null(column, nan_is_null=True)
    if not compute.any(holes).as_py():
        return False
    whole = compute.equal(column, compute.floor(column))
    return bool(compute.all(compute.or_kleene(holes, whole)).as_py())


def _whole(value: float | None) -> int | float | None:
    return int(value) if value is not None and np.isfinite(value) else value


def _shortest(value: float | None) -> float | None:
    return None if value is None else float(str(np.float32(value)))


def _from_decimal(value: decimal.Decimal | None) -> int | float | str | None:
    if value is None:
        return None
    if value == value.to_integral_value():
        return int(value)
    return float(value) if decimal.Decimal(repr(float(value))) == value else str(value)
