r"""The answer inside a response: the text between `<answer>` tags, and what `\boxed{}` holds inside it.

    extract_answer("<think>…</think><answer> 3 </answer>") -> "3"

Defined outcomes: of several answers the last complete one counts; nested tags give the innermost text of
the last pair; an opened but unclosed tag is ignored; no complete pair gives None (the paper's implicit
format rule: nothing extractable is worth 0, arXiv 2504.11468, section 4.1).
"""

from __future__ import annotations

import re
from typing import Literal

from vlaa_ray.records import NO_ANSWER

MAX_CHARS = 20_000
"""As much of a text as a verifier reads."""
OPEN, CLOSE = "<answer>", "</answer>"
ExtractionRule = Literal["last", "exactly_one"]
_BOX = re.compile(r"\\f?boxed\s*(?=\{)|\\fbox\s*(?=\{)")


def extract_answer(response: str, rule: ExtractionRule = "last") -> str | None:
    """The stripped text of the answer, or None; `exactly_one` is the paper's rule (one pair of tags, no more)."""
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
    """The reason, of those in NO_ANSWER, where `extract_answer` gave None."""
    if OPEN not in response:
        return NO_ANSWER["missing"]
    closed = response.find(CLOSE, response.find(OPEN)) >= 0
    return NO_ANSWER["several" if closed else "unclosed"]


def last_boxed(text: str) -> str | None:
    r"""What the last balanced `\boxed{…}` holds, or None; braces inside it are understood."""
    for match in reversed(list(_BOX.finditer(text))):
        end = closing_brace(text, match.end())
        if end is not None:
            return text[match.end() + 1 : end].strip()
    return None


def unboxed(text: str) -> str:
    """The content of the last box where there is one, else the text itself."""
    boxed = last_boxed(text) if "box" in text else None
    return text if boxed is None else boxed


def closing_brace(text: str, start: int) -> int | None:
    """The index of the brace that closes the one at `start`, or None; escaped braces don't count."""
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
