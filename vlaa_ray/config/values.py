"""Rules that every value of a config keeps, whatever its key: finite numbers within limits, and text that is text."""

from __future__ import annotations

import math
import typing
import unicodedata
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

MAX_SEED = 2**32 - 1
"""The largest seed that every random generator of a run takes."""
_MOST = 10**12
_MOST_BY_UNIT = {"_bytes": 2**50, "_s": 10**9}
_FREE_TEXTS = ("system_prompt", "cues", "reflection_phrases")
"""The keys whose text goes to a model or is searched for, and may hold line ends and any other character."""


def most_of(key: str) -> int:
    """Return the largest number that a key may have: 10^9 seconds, 2^50 bytes, and 10^12 of anything else."""
    return next((most for unit, most in _MOST_BY_UNIT.items() if key.endswith(unit)), _MOST)


def fault_of(key: str, value: Any, annotation: Any) -> str:
    """Return what is wrong with the value of a key, in words; an empty text if nothing is.

    A value is wrong if it has a number that is not finite or above `most_of`, `true` or `false` in place of a number, a
    control character in a name or a path, or half of a surrogate pair. `annotation` is the type of the key. In values
    of any type (`Any`), which verifiers and services understand, only numbers that are not finite and broken text are
    wrong. Sections look at their own keys.
    """
    types = set(_types_of(annotation))
    holds_sections = any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in types)
    if holds_sections and not isinstance(value, str | bool | int | float):
        return ""
    return next(filter(None, (_fault(key, part, types) for part in _parts(value))), "")


def _fault(key: str, part: Any, types: set[Any]) -> str:
    if isinstance(part, float) and not math.isfinite(part):
        return "must be a finite number"
    if isinstance(part, str) and any(map(_is_half_a_pair, part)):
        return "half of a surrogate pair is no text"
    if Any in types:
        return ""
    if isinstance(part, bool):
        words = "true and false (and yes, no, on, off) are neither numbers nor text; quote a text"
        return "" if bool in types else words
    if isinstance(part, int | float) and abs(part) > most_of(key):
        return f"must be at most {most_of(key):,}".replace(",", "_")
    if isinstance(part, str) and key not in _FREE_TEXTS and not _is_one_line(part):
        return "a line end or another control character can't stand here"
    return ""


def _types_of(annotation: Any) -> Iterator[Any]:
    """Yield all types that a type hint is made of."""
    yield annotation
    for part in typing.get_args(annotation):
        yield from _types_of(part)


def _parts(value: Any) -> Iterator[Any]:
    """Yield the numbers and texts in a value, those of its lists and mappings (keys too) included."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _parts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _is_one_line(text: str) -> bool:
    return not any(unicodedata.category(character) == "Cc" for character in text)


def _is_half_a_pair(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"
