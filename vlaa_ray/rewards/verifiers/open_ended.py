"""open_ended: how close a free answer comes to the reference.

The verifier type has two ways of scoring. Without a reward model, `verify_open_ended` scores how many words answer and
gold share. With one, `relative_reward` turns its scores of the answer and of the reference into a reward (arXiv
2504.11468, section 4.1).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import unboxed

NO_REFERENCE = "the reference has no score"
"""The beginning of the reason of a verdict that is invalid because a reward model can't score the gold."""
# Each CJK character is a word; in other scripts a word is a run of letters or digits.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def verify_open_ended(answer: str, gold: Any, *, reference: str | None = None) -> RewardResult:
    """Return the F1 of the words of answer and gold, in [0, 1]. Order and case don't count.

    `reference` is not used here. With a reward model, it is the text whose score the answer's must exceed, in place of
    the gold. Invalid if the gold has no words.
    """
    wanted = _reference_words(str(gold))
    if not wanted:
        return invalid(answer, "the reference has no words")
    words = _WORD.findall(unboxed(answer).casefold())
    if not words:
        return wrong(answer, "no words in the answer")
    unmatched = dict(wanted)
    num_common = 0
    for word in words:
        if unmatched.get(word, 0):
            unmatched[word] -= 1
            num_common += 1
    # 2 * common / (a + b) is F1 of precision common/a and recall common/b.
    value = 2 * num_common / (len(words) + sum(wanted.values()))
    return scored(value, answer, "" if num_common else "no word in common with the reference")


def relative_reward(score: float, reference_score: float, beta: float) -> float:
    """Return 1 - exp(-beta * (score - reference_score)) if `score` is above the reference's, else 0; in [0, 1).

    Both scores are a reward model's and unbounded. `beta` > 0 is the steepness (arXiv 2504.11468, section 4.1). If a
    score is NaN, the reward is 0.
    """
    if not score > reference_score:
        return 0.0
    return min(-math.expm1(-beta * (score - reference_score)), math.nextafter(1.0, 0.0))


@lru_cache(maxsize=4096)
def _reference_words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.casefold()))
