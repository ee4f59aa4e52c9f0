r"""math: 1 if the answer is mathematically equal to the gold, else 0, by Math-Verify (arXiv 2504.11468, 4.1).

    judge_math(r"the answer is $4\sqrt{3}$", "4√3").value == 1.0

Both sides are read whole or not at all. Layout is removed first; words that deny, bound or scale a number make
another answer of it. A gold of words is judged as words. A gold that can't be read makes the sample invalid, unless
the answer is the same text. An answer that is too large to be parsed is wrong. Nothing here limits time or memory;
therefore the sandbox runs this code in a process that can be killed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.math_compare import equal
from vlaa_ray.rewards.verifiers.math_layout import plain_layout
from vlaa_ray.rewards.verifiers.math_limits import MAX_POWER_DIGITS, excess, has_huge_power
from vlaa_ray.rewards.verifiers.math_reader import Reading, is_prose, read_expressions
from vlaa_ray.rewards.verifiers.math_stated import bare_text, stated_part, too_long
from vlaa_ray.rewards.verifiers.math_text import same_words, word_gold
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong


def judge_math(answer: str | None, gold: str) -> RewardResult:
    """Return 1.0 if answer and gold are equal, else 0.0.

    `answer` is None if the response has no answer. Invalid if the gold can't be read, unless both are the same text.
    """
    target = _read_gold(gold)
    can_judge = bool(target.words or target.reading.expressions.parts or target.reading.date)
    if answer is None:
        return wrong(None, "no answer") if can_judge else _unreadable(None, gold)
    too_large = excess(answer)
    stated = "" if too_large else stated_part(plain_layout(answer))
    if stated and bare_text(stated) == target.text:
        return scored(1.0, answer)
    if not can_judge:
        return _unreadable(answer, gold)
    if too_large:
        return wrong(answer, f"the answer has {too_large}")
    if fault := _fault(stated):
        return wrong(answer, f"the answer has {fault}")
    if target.words:
        same = same_words(target.words, stated)
        return scored(1.0, answer) if same else wrong(answer, f"the answer is not {target.words!r}")
    try:
        return _judge_reading(answer, stated, target.reading)
    except RecursionError:
        return wrong(answer, "the answer is too deep to be computed with")


def _judge_reading(answer: str, stated: str, gold: Reading) -> RewardResult:
    reading = read_expressions(stated)
    if gold.date or reading.date:
        same = gold.date == reading.date
        return scored(1.0, answer) if same else wrong(answer, "a date equals the same date only")
    if not reading.expressions.parts:
        return wrong(answer, "no mathematical expression in the answer")
    if reading.qualifier != gold.qualifier:
        return wrong(answer, f"words beside the number make another answer of it: {reading.qualifier or 'none'}")
    is_equal = equal(gold.expressions, reading.expressions)
    return scored(1.0, answer) if is_equal else wrong(answer, "the answer is not equal to the gold")


def _unreadable(answer: str | None, gold: str) -> RewardResult:
    return invalid(answer, f"gold can't be read as mathematics: {gold[:80]!r}")


def _fault(stated: str) -> str:
    """Return in words why a stated result is too large to be computed with, or an empty text."""
    return f"a power of more than {MAX_POWER_DIGITS} digits" if has_huge_power(stated) else too_long(stated)


class _Gold(NamedTuple):
    """A gold that has been read: as text, as words (if it is made of words alone), and as expressions."""

    text: str
    words: str
    reading: Reading


@lru_cache(maxsize=512)
def _read_gold(gold: str) -> _Gold:
    if excess(gold):
        return _Gold("", "", Reading())
    stated = stated_part(plain_layout(gold))
    text = bare_text(stated)
    if _fault(stated):
        return _Gold(text, "", Reading())
    try:
        reading = Reading() if is_prose(stated, gold) else read_expressions(stated)
    except RecursionError:
        reading = Reading()
    words = "" if reading.expressions.parts else word_gold(stated)
    return _Gold(text, words, reading)
