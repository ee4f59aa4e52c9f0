"""The first words of answers, to find out which answers begin as others do.

opening("<think>First, I look at the picture.", 3) -> ("first", "i", "look")
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"\w+")
_TAG = re.compile(r"\s*<think>")
_MOST_CHARS = 2_000  # the first words are within it


def opening(text: str, num_words: int) -> tuple[str, ...]:
    """Return the first words in lower case, without signs and without a leading `<think>`; all of a shorter text."""
    tag = _TAG.match(text)
    start = tag.end() if tag else 0
    words: list[str] = []
    for found in _WORD.finditer(text, start, start + _MOST_CHARS):
        words.append(found[0].lower())
        if len(words) == num_words:
            break
    return tuple(words)


class Openings:
    """The openings of a set of answers, `num_words` long."""

    def __init__(self, answers: Iterable[str], num_words: int) -> None:
        self._num_words = num_words
        self._known = frozenset(opening(answer, num_words) for answer in answers) - {()}

    def __len__(self) -> int:
        return len(self._known)

    def has(self, text: str) -> bool:
        """Return True if the text begins with the first words of one of the answers."""
        return opening(text, self._num_words) in self._known
