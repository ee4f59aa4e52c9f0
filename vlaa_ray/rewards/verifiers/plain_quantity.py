"""The number of a plain text that names no other: the usual answer in a sentence, read several times as quickly.

For example:

    plain_quantity("There are 3 dogs in the picture, on the left.") -> Fraction(3)
    plain_quantity("There are at least 3 dogs.") is None

A plain text holds words, the common marks, and one number in digits or one number word from two to nineteen. No word
in it may belong to a number, deny or bound one, or make a date of it. The readers of `stated_quantity.py` would find
the same number. They read all other texts.
"""

from __future__ import annotations

import re
from fractions import Fraction

from vlaa_ray.rewards.verifiers.number_words import NUMBER_WORDS, UNITS
from vlaa_ray.rewards.verifiers.quantities import CONTINUING, OPERATOR_WORDS, PERCENT_WORDS
from vlaa_ray.rewards.verifiers.relations import TURNING_WORDS

_WORD = r"[A-Za-z]++(?:['-][A-Za-z]++)*+"
_MARKS = r"[ ,.;:!?()\n]"
_WITH_DIGITS = re.compile(
    rf"(?P<head>(?:{_WORD}{_MARKS}++)*+)(?<![,.;:!?)])(?P<number>\d{{1,9}}+(?:\.\d{{1,9}}+)?+)"
    rf"(?P<tail>(?:{_MARKS}++{_WORD})*+{_MARKS}*+)"
)
_IN_WORDS = re.compile(rf"(?:[A-Za-z]++(?:'[A-Za-z]++)*+{_MARKS}*+)++")
_BLANKS = str.maketrans(dict.fromkeys(",.;:!?()-", " "))
_SPECIAL = NUMBER_WORDS | OPERATOR_WORDS | PERCENT_WORDS | TURNING_WORDS
_SMALL = {word: Fraction(number) for word, number in UNITS.items() if number > 1}


def plain_quantity(text: str) -> Fraction | None:
    """Return the only number of a plain text, or None if the text is not plain."""
    match = _WITH_DIGITS.fullmatch(text)
    if match is None:
        return _in_words(text) if _IN_WORDS.fullmatch(text) else None
    after = _words(match["tail"])
    if (after and after[0] in CONTINUING) or not _SPECIAL.isdisjoint(after):
        return None
    return Fraction(match["number"]) if _SPECIAL.isdisjoint(_words(match["head"])) else None


def _in_words(text: str) -> Fraction | None:
    special = [word for word in _words(text) if word in _SPECIAL]
    return _SMALL.get(special[0]) if len(special) == 1 else None


def _words(text: str) -> list[str]:
    return text.lower().translate(_BLANKS).split()
