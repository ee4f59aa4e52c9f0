"""open_ended: how close a free answer comes to the reference.

Two scorers share the verifier type. Where there is no reward model, `verify_open_ended` scores the overlap of
words. With one, `relative_reward` maps its scores of the answer and of the reference to a reward
(arXiv 2504.11468, section 4.1).
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
"""Begins the reason where a reward model can't say what the gold is worth."""
# A CJK sign is a word of its own; elsewhere a run of letters or digits is.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def verify_open_ended(answer: str, gold: Any, *, reference: str | None = None) -> RewardResult:
    """The F1 of the words of answer and gold, in [0, 1]; order and case don't count.

    `reference` is the answer that a reward model's score is to beat where that isn't the gold; not looked at here.
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
    """1 - exp(-beta * (score - reference_score)) where the answer beats the reference, else 0; in [0, 1).

    Scores are a reward model's, unbounded; `beta` > 0 smooths (arXiv 2504.11468, section 4.1). NaN counts as 0.
    """
    if not score > reference_score:
        return 0.0
    return min(-math.expm1(-beta * (score - reference_score)), math.nextafter(1.0, 0.0))


@lru_cache(maxsize=4096)
def _reference_words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.casefold()))
