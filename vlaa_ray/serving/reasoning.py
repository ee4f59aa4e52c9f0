"""The thought and the answer of a response, told apart while it arrives.

    split("<think>Two rows of 3.</think> <answer> 6 </answer>") -> Parts(reasoning="Two rows of 3.", content="6")

What stands between `<think>` and `</think>` is reasoning. The rest is content, without the tags around the answer.
Blanks at the ends of both are dropped. A whole text and the same text in pieces give the same result.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_OPEN, _CLOSE = "<think>", "</think>"
_TAGS = (_OPEN, _CLOSE, "<answer>", "</answer>")
_TAG = re.compile("</?think>|</?answer>")
_LONGEST = max(map(len, _TAGS))


class Parts(NamedTuple):
    """What a piece of a response adds to the reasoning and to the content."""

    reasoning: str
    content: str


class ReasoningSplitter:
    """Takes a response piece by piece. With `thinks_first` it begins inside a thought, as the prompt ended with one."""

    def __init__(self, *, thinks_first: bool = False) -> None:
        self._thinks = thinks_first
        self._rest = ""  # the beginning of what may become a tag
        self._sides = {True: _Side(), False: _Side()}

    @property
    def thinks(self) -> bool:
        """True if what comes next belongs to the thought."""
        return self._thinks

    def feed(self, piece: str) -> Parts:
        """Return what can be said after this piece; the beginning of a tag and blanks wait for the next one."""
        text, self._rest = self._rest + piece, ""
        added = {True: "", False: ""}
        while tag := _TAG.search(text):
            added[self._thinks] += self._sides[self._thinks].take(text[: tag.start()])
            self._enter(tag[0])
            text = text[tag.end() :]
        held = _held(text)
        self._rest = text[len(text) - held :] if held else ""
        added[self._thinks] += self._sides[self._thinks].take(text[: len(text) - held])
        return Parts(added[True], added[False])

    def finish(self) -> Parts:
        """Return what still waits when the response has ended: the beginning of a tag that never came."""
        rest, self._rest = self._sides[self._thinks].take(self._rest), ""
        return Parts(rest, "") if self._thinks else Parts("", rest)

    def _enter(self, tag: str) -> None:
        """Go on behind a tag; blanks before and after the tag of an answer belong to the tag."""
        if tag in (_OPEN, _CLOSE):
            self._thinks = tag == _OPEN
        elif not self._thinks:
            self._sides[False].drop_blanks()


class _Side:
    """One of the two texts, without blanks at its ends."""

    def __init__(self) -> None:
        self._begun = False
        self._blanks = ""

    def take(self, text: str) -> str:
        """Return the text that can be shown now: blanks wait until something follows them."""
        text = self._blanks + text
        shown = text.rstrip()
        self._blanks = text[len(shown) :]
        if not self._begun:
            shown, self._blanks = shown.lstrip(), self._blanks if shown else ""
            self._begun = bool(shown)
        return shown

    def drop_blanks(self) -> None:
        """Forget blanks that nothing followed; a single one stays between two parts of the text."""
        self._blanks = " " if self._begun and self._blanks else ""


def split(response: str, *, thinks_first: bool = False) -> Parts:
    """Return the reasoning and the content of a whole response."""
    splitter = ReasoningSplitter(thinks_first=thinks_first)
    first, last = splitter.feed(response), splitter.finish()
    return Parts(first.reasoning + last.reasoning, first.content + last.content)


def _held(text: str) -> int:
    """Return the number of characters at the end of a text that may be the beginning of a tag."""
    start = text.rfind("<", max(0, len(text) - _LONGEST))
    if start < 0:
        return 0
    end = text[start:]
    return len(end) if any(tag.startswith(end) for tag in _TAGS) else 0
