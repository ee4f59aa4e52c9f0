"""What a record lacks, and why two answers are no pair, in words that say what to change.

lacking({"image": "a.png", "question": "How many?", "target": "6"}) == "a gold (gt or answer)"
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from vlaa_ray.errors import DataError

_QUESTIONS = ("question", "problem", "prompt", "message", "messages", "conversations", "query", "instruction")
_GOLDS = ("gt", "gt_json", "answer", "solution", "ground_truth", "reward_model", "response", "output")
_TALKS = ("conversations", "messages")
"""The columns that may hold the answer, too."""


def lacking(row: Mapping[str, Any]) -> str:
    """Return what a record that no format knows lacks, as the object of a sentence.

    It is a question, a gold, both, or an image column. If all are there, the text says that they belong to no format.
    """
    missing = []
    if not any(name in row for name in _QUESTIONS):
        missing.append("a question (question)")
    if not any(name in row for name in (*_GOLDS, *_TALKS)):
        missing.append("a gold (gt or answer)")
    if missing:
        return " and ".join(missing)
    if "image" not in row and "images" not in row:
        return "an image (image; null for a question without a picture)"
    return "keys that belong together"


def no_verifier(verifier_type: str | None, source: str, known: Collection[str], **facts: Any) -> DataError:
    """Return the error for a record without a verifier type, or with one that there is not."""
    if verifier_type is None:
        message = "no verifier for this record: it names no verifier type, and its format has none of its own"
        fix = (
            "name the type of all records that have none: --verifier-type TYPE for `vlaa-ray data check`, "
            "data.verifier_type in a config; or set `verifier_type` in the record"
        )
    else:
        message = "no verifier for this record: its verifier type is unknown"
        fix = "set `verifier_type` in the record to one of these types, or define the type in rewards.verifiers"
    return DataError(message, **facts, got=verifier_type or source, expected=list(known), fix=fix)


def pair_of(chosen: Any, rejected: Any, **facts: Any) -> tuple[str, str]:
    """Return both answers of a pair. Raises DataError if they are not two different texts that say something."""
    expected = "chosen and rejected, two different texts"
    if not (isinstance(chosen, str) and isinstance(rejected, str)):
        raise DataError("a pair needs two texts", expected=expected, **facts)
    blank = [name for name, text in (("chosen", chosen), ("rejected", rejected)) if not text.strip()]
    if blank:
        fix = "leave the record out, or fill in the answer"
        raise DataError(f"an answer of the pair is blank: {' and '.join(blank)}", expected=expected, fix=fix, **facts)
    if " ".join(chosen.split()) == " ".join(rejected.split()):
        fix = "leave the record out: nothing can be learned from it"
        raise DataError("both answers of the pair are the same", expected=expected, fix=fix, **facts)
    return chosen, rejected
