r"""What a reasoning teacher's text holds: its thinking, its final answer, and golds made clean.

read_reasoning("<think>Two and two.</think>So it is \boxed{4}.") == Reasoning("Two and two.", "So it is \boxed{4}.")
final_answer("So it is \boxed{4}.", "digit") == "4"
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from vlaa_ray.rewards.verifiers.choice import read_letter
from vlaa_ray.text.answers import CLOSE, OPEN, extract_answer, last_boxed

_THOUGHT = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)
_PREFIX = re.compile(r"^\s*(?:†\s*)?(?:output|answer|final answer)\s*:\s*", re.IGNORECASE)
_MATH_MODE = re.compile(r"\A(?:\\\[|\\\(|\$+)\s*|\s*(?:\\\]|\\\)|\$+)\Z")
_TAGS = ("<think>", "</think>", OPEN, CLOSE)


class Reasoning(NamedTuple):
    """The thinking, and the answer that follows it, as prose."""

    thought: str
    answer: str

    @property
    def text(self) -> str:
        """Both as one text, as it is rewritten."""
        return f"<think>\n{self.thought}\n</think>\n\n{self.answer}"


def read_reasoning(text: str, thought_apart: str | None = None) -> Reasoning | str:
    """Thinking and answer of a reply, or in words why it has none.

    Some services send the thinking apart; and some models begin inside it, as their prompt ends with the tag.
    """
    if "<think>" not in text:
        text = f"<think>{thought_apart}</think>{text}" if thought_apart else f"<think>{text}"
    found = _THOUGHT.fullmatch(text)
    if not found:
        return "no <think>…</think> at its beginning"
    thought, answer = found[1].strip(), found[2].strip()
    if not thought or not answer:
        return "the thinking is empty" if not thought else "there is no answer after the thinking"
    tagged = OPEN in answer or CLOSE in answer
    if any(tag in thought for tag in _TAGS) or "think>" in answer:
        return "tags inside the thinking or the answer"
    if tagged and not extract_answer(answer, "exactly_one"):
        return "not one answer between its tags"
    return Reasoning(thought, answer)


def final_answer(answer: str, verifier_type: str) -> str:
    """What is to be judged: the tagged or boxed part of the prose, an option's letter, or all of it."""
    tagged = extract_answer(answer)
    answer = answer if tagged is None else tagged
    boxed = last_boxed(answer)
    if verifier_type == "mcq" and (letter := read_letter(answer)):
        return letter
    return boxed or answer


def solution_of(reasoning: Reasoning, verifier_type: str) -> str:
    """The worked answer that SFT trains on."""
    return f"<think>{reasoning.thought}</think><answer>{final_answer(reasoning.answer, verifier_type)}</answer>"


def clean_gold(gold: Any, verifier_type: str) -> Any:
    r"""The gold as its verifier wants it: "(a)" and "A)" become "A", `\boxed{…}` and "Output:" go; others stay.

    Golds of ArxivQA and Math PUMA need it (arXiv 2504.11468, appendix C.1).
    """
    if not isinstance(gold, str):
        return gold
    text = _PREFIX.sub("", gold).strip()
    if verifier_type == "mcq":
        return read_letter(text) or text
    boxed = last_boxed(text)
    return boxed if boxed and _MATH_MODE.sub("", text) == rf"\boxed{{{boxed}}}" else text  # one of several is not all


def num_words(text: str) -> int:
    """Words as blanks divide them."""
    return len(text.split())
