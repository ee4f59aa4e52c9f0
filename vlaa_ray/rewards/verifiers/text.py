"""text, ocr, yes_no and list: answers that are words or texts, compared with the gold as text.

For example:

    verify_text("The Eiffel Tower.", "eiffel tower").value == 1.0
    verify_ocr("STOP", "ST0P").value == 0.75
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_ARTICLE = re.compile(r"\b(?:a|an|the)\b\s*")
# These signs are dropped at the ends only: "1.5" is not "15". A minus sign is not among them: "-3" is not "3".
_ENDS = " \t\n.,;:!?\"'`*“”‘’()[]{}<>"
_SEPARATOR = re.compile(r"\s*(?:,(?!\d{3}(?!\d))|;|\n|、|\band\b)\s*")
_YES_NO = re.compile(r"\b(?:(yes|true|correct)|(no|not|false|incorrect))\b", re.IGNORECASE)
_MAX_ITEMS = 200


def verify_text(answer: str, gold: Any, *, exact: bool = False) -> RewardResult:
    """Return 1.0 if the answer is the gold, or one of a list of golds, else 0.0.

    Case, width of characters, blanks, articles, and punctuation around the text don't count, unless `exact`. Invalid if
    the gold is not text.
    """
    golds = texts_of(gold)
    if not golds:
        return invalid(answer, f"gold is not text: {str(gold)[:80]!r}")
    form = str.strip if exact else normalised
    text = form(unboxed(answer[:MAX_CHARS]))
    if text in {form(right) for right in golds}:
        return scored(1.0, answer)
    return wrong(answer, f"the answer is not {golds[0][:80]!r}" if text else "no text in the answer")


def verify_ocr(answer: str, gold: Any, *, least: float = 0.0) -> RewardResult:
    """Return 1 - edit distance / length of the longer text, for the best of several golds; 0.0 if it is below `least`.

    Case counts. Unicode's variants of a character are equal (NFKC), and so are one blank and several. With `least` 0.5
    this is ANLS (Biten et al., arXiv 1905.13648), except that ANLS ignores case. Invalid if the gold is not text.
    """
    from rapidfuzz.distance import Levenshtein

    golds = texts_of(gold)
    if not golds:
        return invalid(answer, f"gold is not text: {str(gold)[:80]!r}")
    text = _evened(answer[:MAX_CHARS])
    value = max(Levenshtein.normalized_similarity(text, _evened(right[:MAX_CHARS])) for right in golds)
    if value < least:
        return wrong(answer, f"similarity {value:.2f} is below {least:g}")
    return scored(value, answer, "" if value else "no character in common")


def verify_yes_no(answer: str, gold: Any) -> RewardResult:
    """Return 1.0 if answer and gold both say yes, or both say no, else 0.0; also 0.0 for an answer that says both.

    Invalid if the gold does not say either yes or no.
    """
    target = _yes_or_no(str(gold)) if isinstance(gold, str | bool) else None
    if target is None:
        return invalid(answer, f"gold says neither yes nor no: {str(gold)[:80]!r}")
    said = _yes_or_no(unboxed(answer[:MAX_CHARS]))
    if said is None:
        return wrong(answer, "the answer doesn't say yes or no, or says both")
    return scored(1.0, answer) if said == target else wrong(answer, "the answer is the opposite of the gold")


def verify_list(answer: str, gold: Any, *, ordered: bool = False) -> RewardResult:
    """Return the F1 of the items in any order: 2 · common / (items of the answer + items of the gold), in [0, 1].

    With `ordered`, return 1.0 if the answer has all items in the gold's order, else 0.0. A gold is a list, or a text
    with commas, semicolons, "and" or new lines between its items. Items are compared as in `verify_text`. Invalid if
    the gold has no items.
    """
    items = gold if isinstance(gold, list | tuple) else _items(gold) if isinstance(gold, str) else []
    wanted = [item for item in map(normalised, map(str, items)) if item]
    reference = set(wanted)
    if not reference:
        return invalid(answer, f"gold is not a list: {str(gold)[:80]!r}")
    given = [item for item in map(normalised, _items(unboxed(answer[:MAX_CHARS]))) if item]
    if not 0 < len(given) <= _MAX_ITEMS:
        return wrong(answer, f"{len(given)} items in the answer, expected {len(reference)}")
    if ordered:
        return scored(1.0, answer) if given == wanted else wrong(answer, f"the answer is not {wanted}, in order"[:200])
    common = len(reference & set(given))
    value = 2 * common / (len(given) + len(reference))  # a repeated item counts twice in len(given)
    return scored(value, answer, "" if value == 1.0 else f"{common} of {len(reference)} items, {len(given)} given")


def normalised(text: str) -> str:
    """Return the text without case, width, articles, surplus blanks, and punctuation around it, for a comparison."""
    folded = unicodedata.normalize("NFKC", text).casefold().strip(_ENDS)
    return " ".join((_ARTICLE.sub("", folded) or folded).split())


def _items(text: str) -> list[str]:
    return _SEPARATOR.split(text.strip().strip("[](){}"))


def _evened(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unboxed(text)).split())


def texts_of(gold: Any) -> list[str]:
    """Return the right texts of a gold, which may be one text or a list of them. Blank ones are left out."""
    golds = gold if isinstance(gold, list | tuple) else [gold]
    return [str(right) for right in golds if isinstance(right, str | int | float) and str(right).strip()]


def _yes_or_no(text: str) -> bool | None:
    said = {bool(yes) for yes, _ in _YES_NO.findall(text)}
    return said.pop() if len(said) == 1 else None
