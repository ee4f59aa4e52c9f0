"""Makes the three kinds of a row's verdict: right, wrong, and not settled."""

from __future__ import annotations

from vlaa_ray.evaluation.benchmarks.answers import Stated
from vlaa_ray.evaluation.benchmarks.base import RowScore

MAX_SHOWN_CHARS = 200
NO_ANSWER = "the model gave no answer"


def right(extracted: str | None, reason: str = "") -> RowScore:
    """Return the verdict that an answer is right; `reason` says what is unusual about it."""
    return RowScore(correct=True, extracted=shown(extracted), reason=reason)


def wrong(extracted: str | None, reason: str) -> RowScore:
    """Return the verdict that an answer is wrong, and why."""
    return RowScore(correct=False, extracted=shown(extracted), reason=reason)


def unsettled(extracted: str | None, reason: str) -> RowScore:
    """Return the verdict that no rule settles the row, and why."""
    return RowScore(correct=None, extracted=shown(extracted), reason=reason, settled_by="")


def graded(is_right: bool, extracted: str | None, gold: str) -> RowScore:
    """Return the verdict on an answer that could be read: right, or wrong because it is not the gold."""
    return right(extracted) if is_right else wrong(extracted, f"{shown(extracted)} is not {shown(gold)}")


def graded_if_marked(is_right: bool, final: Stated, gold: str) -> RowScore:
    """Return the verdict on a result; one that the model didn't mark as its answer is right, or else not settled."""
    if is_right or final.marked:
        return graded(is_right, final.text, gold)
    return unsettled(final.text, f"the answer's end is not {shown(gold)}, but it isn't marked as the result")


def shown(text: str | None) -> str | None:
    """Return a text as tables show it: its first 200 characters."""
    return text if text is None or len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
