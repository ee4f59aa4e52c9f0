"""letters: questions with several right options. The answer must name all of them and no other.

For example:

    verify_letters("A and C", "AC").value == 1.0
"""

from __future__ import annotations

import re
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_RUN = re.compile(r"[\s(\[{<\"'$*]*([A-Z]{1,26})[\s)\]}>\"'$*.]*")
# "A" and "I" before a word in lower case are an article and a pronoun, unless the word is "and" or "or".
_STANDING = re.compile(r"(?<![A-Za-z'’\\])(?![AI]\s+(?!and\b|or\b)[a-z])([A-Z])(?![A-Za-z'’])")


def verify_letters(answer: str, gold: Any, *, partial_credit: bool = False) -> RewardResult:
    """Return 1.0 if the answer names exactly the gold's letters, in any order, else 0.0.

    With `partial_credit`, return the number of common letters / the number of all letters in gold or answer (Jaccard).
    Then an answer that names every letter earns little. Golds and answers may be written as "AC", "A, C" or
    "(A) and (C)", and golds as ["A", "C"]. Invalid if the gold names no letter.
    """
    target = read_letters("".join(map(str, gold)) if isinstance(gold, list | tuple) else str(gold))
    if not target:
        return invalid(answer, f"gold names no option letters: {str(gold)[:80]!r}")
    named = read_letters(unboxed(answer[-MAX_CHARS:]))
    if named == target:
        return scored(1.0, answer)
    reason = f"{''.join(sorted(named)) or 'no letter'} is not {''.join(sorted(target))}"
    return (
        scored(len(named & target) / len(named | target), answer, reason) if partial_credit else wrong(answer, reason)
    )


def read_letters(text: str) -> frozenset[str]:
    """Return the option letters, in upper case, that the text names.

    The text "AC" names two. A word names none; a text such as "ALL" counts as a word, because a letter is repeated.
    """
    run = _RUN.fullmatch(text)
    letters = list(run.group(1)) if run else _STANDING.findall(text)
    return frozenset(letters) if run is None or len(set(letters)) == len(letters) else frozenset()
