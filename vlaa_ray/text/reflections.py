"""Phrases with which a model reflects on its own answer: the list that the paper counts in the outputs of GRPO.

reflection_counts("Wait, wait.")  -> {"alternatively": 0, "double-check": 0, "i should check": 0, "wait": 2}
"""

from __future__ import annotations

from collections.abc import Sequence

PAPER_REFLECTIONS = ("alternatively", "double-check", "i should check", "wait")
"""The paper's phrases (arXiv 2504.11468, section 4.3, figure 7)."""


def reflection_counts(text: str, phrases: Sequence[str] = PAPER_REFLECTIONS) -> dict[str, int]:
    """Return how often each phrase is in the text, upper and lower case alike, as plain substrings."""
    lowered = text.lower()
    return {phrase: lowered.count(phrase) for phrase in phrases}
