r"""Numbers and formulas in answers, and whether they equal a gold.

    number_in("about 7.07 cm")        -> Fraction(707, 100)
    number_in(r"2\pi")                -> about 6.2832
    equal_in_maths("1/2", "0.5")      -> True

Formulas are compared by the verifier `math`, in a process that can be killed; no text is run as code.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from vlaa_ray.rewards import score
from vlaa_ray.rewards.verifiers.stated_quantity import stated_quantity

_LAYOUT = re.compile(r"</?(?:answer|think)>|\\(?:displaystyle|textstyle)(?![A-Za-z])")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_PI = re.compile(
    r"[\s$(\\]*(-?(?:\d{1,12}(?:\.\d{1,12})?(?:/[1-9]\d{0,11})?)?)\s*[*·×]?\s*(?:\\cdot\s*)?(?:\\pi|π|pi)"
    r"\s*(?:/\s*([1-9]\d{0,11}))?[\s$)\\]*"
)


def number_in(text: str) -> Fraction | None:
    """Return the number that a text states, or None if it states none, or several. Units don't count.

    A multiple of π is a number, too, rounded to 17 digits.
    """
    multiple = _PI.fullmatch(text) if len(text) < 100 else None
    if multiple:
        factor = Fraction(multiple[1]) if multiple[1] not in ("", "-") else Fraction(f"{multiple[1]}1")
        return factor * Fraction(math.pi) / int(multiple[2] or 1)
    stated = stated_quantity(text)
    return None if isinstance(stated, str) else stated.value


def is_formula(text: str) -> bool:
    """Return whether a text has a digit, a command of LaTeX or a sign of mathematics, and not words alone."""
    return any(char.isdigit() or char in "\\√π=^" for char in text)


def num_words(text: str) -> int:
    """Return how many words of three letters or more a text has, commands of LaTeX left out."""
    return len(_WORD.findall(text))


def equal_as_formula(answer: str, gold: str) -> bool:
    """Return whether an answer is a formula without words that equals a gold, as 2 * 7 / 2 equals 7."""
    return is_formula(answer) and not num_words(answer) and equal_in_maths(answer, gold) is True


def equal_in_maths(answer: str, gold: str) -> bool | None:
    """Return whether an answer equals a gold as mathematics; None if the gold can't be read, or the time was over."""
    said, wanted = (_LAYOUT.sub(" ", text) for text in (answer, gold))
    verdict = score(f"<answer>{said}</answer>", wanted, "math")
    return None if not verdict.valid or verdict.value is None else verdict.value >= 0.5
