r"""The parser of a reasoning teacher's reply (its thinking and its final answer), and the cleaning of golds.

For example:

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
    """The thinking of a reply, and the answer in prose that follows it."""

    thought: str
    answer: str

    @property
    def text(self) -> str:
        """Thinking and answer as one text, which is the input of the step `rewrite`."""
        return f"<think>\n{self.thought}\n</think>\n\n{self.answer}"


def read_reasoning(text: str, thought_apart: str | None = None) -> Reasoning | str:
    """Return the thinking and the answer of a reply; if it lacks one of them, a short text that says what is wrong.

    Some services send the thinking apart from the text (`thought_apart`). Some models begin inside the thinking,
    because their prompt already ends with <think>.
    """
    if "<think>" not in text:
        text = f"<think>{thought_apart}</think>{text}" if thought_apart else f"<think>{text}"
    parts = _THOUGHT.fullmatch(text)
    if not parts:
        return "the reply does not begin with <think>…</think>"
    thought, answer = parts[1].strip(), parts[2].strip()
    if not thought or not answer:
        return "the thinking is empty" if not thought else "there is no answer after the thinking"
    tagged = OPEN in answer or CLOSE in answer
    if any(tag in thought for tag in _TAGS) or "think>" in answer:
        return "tags inside the thinking or the answer"
    if tagged and not extract_answer(answer, "exactly_one"):
        return "the answer tags do not hold exactly one answer"
    return Reasoning(thought, answer)


def final_answer(answer: str, verifier_type: str) -> str:
    """Return the judged part of an answer: an option's letter, the boxed or tagged part, or the whole answer."""
    tagged = extract_answer(answer)
    answer = answer if tagged is None else tagged
    boxed = last_boxed(answer)
    if verifier_type == "mcq" and (letter := read_letter(answer)):
        return letter
    return boxed or answer


def solution_of(reasoning: Reasoning, verifier_type: str) -> str:
    """Return the worked answer on which SFT trains: `<think>…</think><answer>…</answer>`."""
    return f"<think>{reasoning.thought}</think><answer>{final_answer(reasoning.answer, verifier_type)}</answer>"


def clean_gold(gold: Any, verifier_type: str) -> Any:
    r"""Return the gold in the form that its verifier expects.

    "(a)" and "A)" become "A"; a \boxed{…} around the whole gold and a prefix such as "Output:" are removed. Other golds
    are unchanged. ArxivQA and Math PUMA have such golds (arXiv 2504.11468, appendix C.1).
    """
    if not isinstance(gold, str):
        return gold
    text = _PREFIX.sub("", gold).strip()
    if verifier_type == "mcq":
        return read_letter(text) or text
    boxed = last_boxed(text)
    return (
        boxed if boxed and _MATH_MODE.sub("", text) == rf"\boxed{{{boxed}}}" else text
    )  # a box around a part of the gold stays


def num_words(text: str) -> int:
    """Return the number of words, which are separated by white space."""
    return len(text.split())
