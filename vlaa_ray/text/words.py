"""The number of words of a text, by which prose is told from a short answer."""

from __future__ import annotations

import re

_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}")  # but not a LaTeX command


def num_words(text: str) -> int:
    """Return how many words of at least two letters the text has. LaTeX commands don't count."""
    return len(_WORD.findall(text))
