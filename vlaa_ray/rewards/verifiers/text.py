"""text and ocr: answers that are words or texts, compared with the gold as text.

For example:

    verify_text("The Eiffel Tower.", "eiffel tower").value == 1.0
    verify_ocr("STOP", "ST0P").value == 0.75
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.rewards.verifiers.wording import normalised as normalised  # the verifier `boxes` reads labels with it
from vlaa_ray.rewards.verifiers.wording import wording, wordings
from vlaa_ray.text.answers import MAX_CHARS, unboxed


def verify_text(answer: str, gold: Any, *, exact: bool = False) -> RewardResult:
    """Return 1.0 if the answer is the gold, or one of a list of golds, else 0.0.

    Layout, case, width, blanks, an article before a noun, and the punctuation that ends a sentence don't count, and a
    number may be written in several ways, unless `exact`. Marks with a meaning count (see `wording`). A blank answer
    earns nothing. Invalid if the gold is not text.
    """
    golds = texts_of(gold)
    if not golds:
        return invalid(answer, f"gold is not text: {str(gold)[:80]!r}")
    text = answer[:MAX_CHARS]
    if not unboxed(text).strip():
        return wrong(answer, "no text in the answer")
    if exact:
        is_right = unboxed(text).strip() in {right.strip() for right in golds}
    else:
        forms = wordings(text)
        rights = [wording(right[:MAX_CHARS]) for right in golds]
        is_right = any(form.kept and form.same_as(right) for form in forms for right in rights)
    return scored(1.0, answer) if is_right else wrong(answer, f"the answer is not {golds[0][:80]!r}")


def verify_ocr(answer: str, gold: Any, *, least: float = 0.0) -> RewardResult:
    """Return 1 - edit distance / length of the longer text, for the best of several golds.

    Return 0.0 if that is at most `least`, unless the texts are equal. Case counts. Unicode's variants of a character
    are equal (NFKC), and so are one blank and several. With `least` 0.5 this is ANLS (Biten et al., arXiv 1905.13648),
    except that ANLS ignores case. Invalid if the gold is not text.
    """
    from rapidfuzz.distance import Levenshtein

    golds = texts_of(gold)
    if not golds:
        return invalid(answer, f"gold is not text: {str(gold)[:80]!r}")
    text = _evened(unboxed(answer[:MAX_CHARS]))
    if not text:
        return wrong(answer, "no text in the answer")
    rights = [_evened(unboxed(right[:MAX_CHARS])) or _evened(right) for right in golds]
    value = max(Levenshtein.normalized_similarity(text, right) for right in rights)
    if value < 1.0 and 0.0 < value <= least:
        return wrong(answer, f"similarity {value:.2f} is not above {least:g}")
    return scored(value, answer, "" if value else "no character in common")


def texts_of(gold: Any) -> list[str]:
    """Return the right texts of a gold, which may be one text or a list of them. Blank ones are left out.

    A whole number may come from a table as 3.0: its texts are "3" and "3.0".
    """
    golds = gold if isinstance(gold, list | tuple) else [gold]
    texts: list[str] = []
    for right in golds:
        if isinstance(right, float) and right.is_integer() and abs(right) < 1e15:
            texts.append(str(int(right)))
        if isinstance(right, str | int) or (isinstance(right, float) and math.isfinite(right)):
            texts.append(str(right))
    return [text for text in texts if text.strip()]


def _evened(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text[:MAX_CHARS]).split())[:MAX_CHARS]
