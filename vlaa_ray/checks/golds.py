"""What a data engineer asks about golds: which is the commonest, and which ones can hardly be meant.

    watch = GoldWatch()
    list(watch.oddities(prompt))  -> [Oddity("the gold is E, but the question's options end with D", "…")]
    watch.commonest()             -> {"mcq": Commonest("A", 130, 200)}

Nothing here is a defect: a run can train on such records, but perhaps it should not.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from vlaa_ray.data.prompt_checks import says_nothing
from vlaa_ray.records import Prompt
from vlaa_ray.rewards.verifiers.choice import read_letter
from vlaa_ray.rewards.verifiers.grounding import read_boxes
from vlaa_ray.text.words import num_words

_COUNTED = ("digit", "mcq", "letters", "number", "math", "text", "yes_no")
"""The types whose golds are short enough to repeat."""
_EXACT = ("text", "math", "list")
_MANY_WORDS = 6
_MANY_SIGNS = 16  # of a script without blanks between words, as many as six words
_LABEL_CHARS = 40
_LEAST_RECORDS = 20
_COMMON_SHARE = {"yes_no": 0.8}
_USUAL_COMMON_SHARE = 0.5
_PIXELS = ("original_px", "resized_px")
_SIGN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_OPTION = re.compile(r"(?:^|[\s(\[（])([A-Z])(?=[)\].:：、．）])", re.MULTILINE)
_LETTERS = re.compile(r"[A-Z]")


class Oddity(NamedTuple):
    """Something odd about a gold, and what to do about it."""

    reason: str
    fix: str


class Commonest(NamedTuple):
    """The commonest gold of a verifier type, the number of records with it, and of all."""

    gold: str
    num_records: int
    total: int

    @property
    def share(self) -> float:
        """The share of the records whose gold this is, from 0 to 1."""
        return self.num_records / self.total


class GoldWatch:
    """Looks at golds one after the other, and counts them."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def oddities(self, prompt: Prompt) -> Iterator[Oddity]:
        """Yield what is odd about the gold of a prompt, and count the gold."""
        kind, gold = prompt.verifier_type, prompt.gold
        if kind in _COUNTED:
            self._counts[kind][_label(kind, gold)] += 1
        if kind in _EXACT and isinstance(gold, str):
            yield from _odd_text(kind, gold)
        if kind in ("mcq", "letters"):
            yield from _beyond_options(kind, gold, prompt.question)
        if kind in ("iou", "boxes"):
            yield from _unit_in_pixels(prompt)

    def commonest(self) -> dict[str, Commonest]:
        """Return the commonest gold of each verifier type, for types with golds that may repeat."""
        found = {}
        for kind, counts in self._counts.items():
            ((gold, count),) = counts.most_common(1)
            found[kind] = Commonest(gold, count, counts.total())
        return found

    def shares(self) -> dict[str, dict[str, float]]:
        """Return the ten commonest golds of each verifier type with their shares, from 0 to 1."""
        return {
            kind: {gold: round(count / counts.total(), 4) for gold, count in counts.most_common(10)}
            for kind, counts in self._counts.items()
        }

    def lopsided(self) -> Iterator[tuple[Oddity, int]]:
        """Yield (oddity, number of records) for each type of which one gold has most of the records."""
        for kind, top in self.commonest().items():
            if top.total >= _LEAST_RECORDS and top.share >= _COMMON_SHARE.get(kind, _USUAL_COMMON_SHARE):
                reason = f"{top.share:.0%} of the {top.total:,} golds of {kind} are {top.gold!r}"
                fix = "a model earns this share by always answering it: mix the options, or balance the records"
                yield Oddity(reason, fix), top.num_records


def _label(kind: str, gold: Any) -> str:
    """Return the gold as it is counted: an option by its letter, anything else by its text."""
    if kind == "mcq":
        text = str(gold)[:_LABEL_CHARS].strip()
        return text.upper() if len(text) == 1 else read_letter(text) or text
    return " ".join(str(gold)[: 2 * _LABEL_CHARS].split())[:_LABEL_CHARS].lower()


def _odd_text(kind: str, gold: str) -> Iterator[Oddity]:
    if kind != "math" and says_nothing(gold):
        yield Oddity(f"the gold {gold.strip()!r} may stand for a missing one", "leave the record out if it does")
        return
    if len(gold) < 2 * _MANY_WORDS or kind == "list":
        return
    words, num_signs = num_words(gold), len(_SIGN.findall(gold))
    if words >= _MANY_WORDS or num_signs >= _MANY_SIGNS:
        reason = f"the gold is prose ({words or num_signs} words): under {kind!r} only the same words are right"
        yield Oddity(reason, "open_ended is meant for prose: set `verifier_type`, or use --verifier-type open_ended")


def _beyond_options(kind: str, gold: Any, question: str) -> Iterator[Oddity]:
    last = _last_option(question)
    if last is None:
        return
    text = str(gold)[:_LABEL_CHARS]
    letters = [read_letter(text)] if kind == "mcq" else _LETTERS.findall(text) if text.isupper() else []
    beyond = [letter for letter in letters if letter and letter > last]
    if beyond:
        reason = f"the gold is {', '.join(beyond)!r}, but the options of the question end with {last!r}"
        yield Oddity(reason, "correct the gold, or add the missing options to the question")


def _last_option(question: str) -> str | None:
    """Return the last of the options A, B, C … that the question lists in this order; None for fewer than two."""
    following = "A"
    for letter in _OPTION.findall(question):
        if letter == following:
            following = chr(ord(following) + 1)
    return chr(ord(following) - 1) if following > "B" else None


def _unit_in_pixels(prompt: Prompt) -> Iterator[Oddity]:
    params = prompt.verifier_params
    frame = params.get("gold_frame") or params.get("frame")
    if frame not in _PIXELS:
        return
    for box in read_boxes(prompt.gold):
        if 0 <= min(box) and max(box) <= 1:
            edges = ", ".join(f"{edge:g}" for edge in box)
            reason = f"the gold box [{edges}] has edges from 0 to 1, but its frame is in pixels"
            yield Oddity(reason, "set `verifier_params` to {frame: unit}, or give the box in pixels")
            return
