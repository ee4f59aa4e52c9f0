"""letters: questions with several right options, of which all must be named and no other.

verify_letters("A and C", "AC").value == 1.0
"""

from __future__ import annotations

import re
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_RUN = re.compile(r"[\s(\[{<\"'$*]*([A-Z]{1,26})[\s)\]}>\"'$*.]*")
# "A" and "I" before a small word are an article and a pronoun, unless it joins letters.
_STANDING = re.compile(r"(?<![A-Za-z'’\\])(?![AI]\s+(?!and\b|or\b)[a-z])([A-Z])(?![A-Za-z'’])")


def verify_letters(answer: str, gold: Any, *, partial_credit: bool = False) -> RewardResult:
    """1.0 if the answer names just the gold's letters, in any order; else 0.0.

    With `partial_credit` the common letters over all that either names (Jaccard), so that naming every letter pays
    little. Golds and answers: "AC", "A, C", "(A) and (C)", ["A", "C"].
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
    """The option letters, upper case, that the text names; "AC" alone names two, a word names none."""
    run = _RUN.fullmatch(text)
    letters = list(run.group(1)) if run else _STANDING.findall(text)
    return frozenset(letters) if run is None or len(set(letters)) == len(letters) else frozenset()
