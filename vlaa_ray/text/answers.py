r"""The answer inside a response: the text between `<answer>` tags, and the content of a `\boxed{}` inside it.

    extract_answer("<think>…</think><answer> 3 </answer>") -> "3"

If a response has several answers, the last complete one counts. Nested tags give the innermost text of the last pair.
A tag that is opened but not closed is ignored. Without a complete pair of tags there is no answer. (This is the paper's
implicit format rule: a response without an answer is worth 0, arXiv 2504.11468, section 4.1.)
"""

from __future__ import annotations

import re
from typing import Literal

from vlaa_ray.records import NO_ANSWER

MAX_CHARS = 20_000
"""The number of characters of a text that a verifier reads at most."""
OPEN, CLOSE = "<answer>", "</answer>"
ExtractionRule = Literal["last", "exactly_one"]
_BOX = re.compile(r"\\f?boxed\s*(?=\{)|\\fbox\s*(?=\{)")


def extract_answer(response: str, rule: ExtractionRule = "last") -> str | None:
    """Return the text of the answer without blanks around it, or None if the response has no answer.

    With the rule `last`, the last complete answer counts. With `exactly_one`, the paper's rule, a response with more
    than one tag of a kind has no answer.
    """
    if rule == "exactly_one" and (response.count(OPEN) != 1 or response.count(CLOSE) != 1):
        return None
    end = len(response)
    while True:
        start = response.rfind(OPEN, 0, end)
        if start < 0:
            return None
        close = response.find(CLOSE, start)
        if close >= 0:
            return response[start + len(OPEN) : close].strip()
        end = start


def why_no_answer(response: str) -> str:
    """Return the reason, one of NO_ANSWER, why `extract_answer` returned None for this response."""
    if OPEN not in response:
        return NO_ANSWER["missing"]
    closed = response.find(CLOSE, response.find(OPEN)) >= 0
    return NO_ANSWER["several" if closed else "unclosed"]


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{…}` with balanced braces, or None. It may hold braces itself."""
    for match in reversed(list(_BOX.finditer(text))):
        end = closing_brace(text, match.end())
        if end is not None:
            return text[match.end() + 1 : end].strip()
    return None


def unboxed(text: str) -> str:
    r"""Return the content of the last `\boxed{…}`, or the text itself if it has none."""
    boxed = last_boxed(text) if "box" in text else None
    return text if boxed is None else boxed


def closing_brace(text: str, start: int) -> int | None:
    """Return the index of the brace that closes the one at `start`, or None. Escaped braces don't count."""
    depth = 0
    index = start
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 1
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return index
        index += 1
    return None
