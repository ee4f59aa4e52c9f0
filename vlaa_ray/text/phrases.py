"""Phrases counted in text, such as the words by which a model doubts itself.

    Phrases(["check", "double-check"]).counts("Wait, let me double-check.") -> {"double-check": 1}

Upper and lower case are equal, any blanks may stand between words, and only whole words count: "waiter" holds no
"wait". (Phrases in other than ASCII letters are found anywhere: some scripts have no blanks.) A phrase inside a longer
one of the list does not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

_NOT_IN_NAMES = re.compile(r"[^a-z0-9-]+")


class Phrases:
    """A list of phrases to look for; `keys` are their names in metrics."""

    def __init__(self, phrases: Iterable[str]) -> None:
        by_phrase = phrase_keys(phrases)
        self.keys = list(by_phrase.values())
        """The names of the phrases, in their order."""
        self._longest_first = sorted(by_phrase.items(), key=lambda item: len(item[0]), reverse=True)

    def counts(self, text: str) -> Counter[str]:
        """Return how often each phrase stands in the text, by its name; phrases that don't are left out."""
        lowered = text.lower()
        if not any(phrase.partition(" ")[0] in lowered for phrase, _ in self._longest_first):
            return Counter()
        lowered = " ".join(lowered.split())
        counts: Counter[str] = Counter()
        for phrase, key in self._longest_first:
            if starts := list(_starts(lowered, phrase)):
                counts[key] = len(starts)
                lowered = _without(lowered, starts, len(phrase))
        return counts


def _starts(text: str, phrase: str) -> Iterator[int]:
    """Yield the indices at which a phrase begins."""
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        if not phrase.isascii() or not (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
            yield start
        start = text.find(phrase, end)


def _without(text: str, starts: list[int], length: int) -> str:
    """Return the text with a sign that is in no phrase in place of each part of this length."""
    ends = [0, *(start + length for start in starts)]
    return "\0".join(text[end:start] for end, start in zip(ends, [*starts, len(text)], strict=True))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def phrase_keys(phrases: Iterable[str]) -> dict[str, str]:
    """Return the name in metrics of each phrase, in lower case with single blanks; a repeated phrase comes once.

    A name has the phrase's letters from a to z, digits, "-", and "_" for anything else. Phrases that would have the
    same name, such as those of other scripts, get numbers.
    """
    keys: dict[str, str] = {}
    for phrase in phrases:
        text = " ".join(phrase.lower().split())
        if not text or text in keys:
            continue
        key = _NOT_IN_NAMES.sub("_", text).strip("_") or "phrase"
        keys[text] = key if key not in keys.values() else f"{key}_{len(keys) + 1}"
    return keys
