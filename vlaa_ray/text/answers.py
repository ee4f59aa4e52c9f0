r"""The answer inside a response: the text between `<answer>` tags, and the content of a `\boxed{}` inside it.

    extract_answer("<think>…</think><answer> 3 </answer>") -> "3"
    extract_answer("<think>The form is <answer>3</answer>. I count") -> None

If a response has several answers, the last complete one counts. Nested tags give the innermost text of the last pair.
A tag that is opened but not closed is ignored. Without a complete pair of tags there is no answer. (This is the paper's
implicit format rule: a response without an answer is worth 0, arXiv 2504.11468, section 4.1.)

A thought is no answer: what stands between `<think>` and `</think>` is passed over, and so is all that follows a
`<think>` without an end. A response may begin inside its thought, because some prompts end with `<think>`. Then all
before its first `</think>` is the thought.

Each function here takes a time that grows with the length of its text, and not with the square of it.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from vlaa_ray.records import NO_ANSWER

MAX_CHARS = 20_000
"""The number of characters of an answer or a gold that a verifier reads at most. A longer answer is wrong."""
OPEN, CLOSE = "<answer>", "</answer>"
ExtractionRule = Literal["last", "exactly_one"]
_THOUGHT_TAG = re.compile("</?think>")
_BOX_OR_BRACE = re.compile(r"\\{1,2}(?:f?boxed|fbox)\s*+\{|\\.|[{}]", re.DOTALL)


class BoxSpan(NamedTuple):
    """The indices of a closed box: of its beginning, of its content, and of its closing brace."""

    start: int
    inside: int
    end: int


def chars_excess(text: str) -> str:
    """Return in words that the text has too many characters, or an empty text."""
    return f"{len(text)} characters, more than {MAX_CHARS}" if len(text) > MAX_CHARS else ""


def extract_answer(response: str, rule: ExtractionRule = "last") -> str | None:
    """Return the text of the answer without blanks around it, or None if the response has no answer.

    With the rule `last`, the last complete answer counts. With `exactly_one`, the paper's rule, a response with more
    than one tag of a kind has no answer, and tags inside a thought count as tags.
    """
    if rule == "exactly_one" and (response.count(OPEN) != 1 or response.count(CLOSE) != 1):
        return None
    said = without_thoughts(response)
    start = said.rfind(OPEN, 0, max(0, said.rfind(CLOSE)))
    return None if start < 0 else said[start + len(OPEN) : said.find(CLOSE, start)].strip()


def why_no_answer(response: str) -> str:
    """Return the reason, one of NO_ANSWER, why `extract_answer` returned None for this response."""
    if OPEN not in response:
        return NO_ANSWER["missing"]
    said = without_thoughts(response)
    if OPEN not in said:
        return NO_ANSWER["in_thought"]
    closed = said.find(CLOSE, said.find(OPEN)) >= 0
    return NO_ANSWER["several" if closed else "unclosed"]


def without_thoughts(response: str) -> str:
    """Return the response with a blank in place of each thought and its tags.

    A thought may name the tags. If several `</think>` follow one another, each ends one `<think>`. The last of them
    ends the thought in any case.
    """
    if "think>" not in response:
        return response
    if response.startswith("<think>") and response.count("think>") == 2:  # the usual response, quicker
        end = response.find("</think>")
        return " " + response[end + len("</think>") :] if end >= 0 else ""
    return " ".join(_thoughts_and_rest(response)[1])


def split_thoughts(response: str) -> tuple[str, str]:
    """Return (the thoughts without their tags, the response without them), for people to read.

    What is a thought is told as in `without_thoughts`. Several are parted by an empty line.
    """
    thoughts, said = _thoughts_and_rest(response)
    return "\n\n".join(filter(None, map(str.strip, thoughts))), " ".join(said).strip()


def _thoughts_and_rest(response: str) -> tuple[list[str], list[str]]:
    tags = list(_THOUGHT_TAG.finditer(response))
    names = [tag[0] for tag in tags]
    thoughts: list[str] = []
    said: list[str] = []  # not empty as soon as a <think> has been met
    begin = depth = 0
    for tag, following in zip(tags, [*names, ""][1:], strict=True):
        if tag[0] == "<think>":
            if not depth:
                said.append(response[begin : tag.start()])
                begin = tag.end()
            depth += 1
        elif depth or not said:
            depth = depth - 1 if depth > 1 and following == "</think>" else 0
            if not depth:
                thoughts.append(response[begin : tag.start()])
                begin = tag.end()
    (thoughts if depth else said).append(response[begin:])
    return thoughts, said


def closed_boxes(text: str) -> list[BoxSpan]:
    r"""Return each `\boxed{…}`, `\fboxed{…}` or `\fbox{…}` whose braces are balanced, in the order in which they end.

    They may stand inside one another. Escaped braces don't count. A second backslash before a box, as JSON writes it,
    belongs to the box.
    """
    if "box" not in text:
        return []
    boxes: list[BoxSpan] = []
    opened: list[tuple[int, int, bool]] = []  # where each open brace begins, where its content begins, is it a box
    for match in _BOX_OR_BRACE.finditer(text):
        sign = match.group()
        if sign[-1] == "{" and len(sign) != 2:
            opened.append((match.start(), match.end(), len(sign) > 1))
        elif sign == "}" and opened:
            start, inside, is_box = opened.pop()
            if is_box:
                boxes.append(BoxSpan(start, inside, match.start()))
    return boxes


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{…}` with balanced braces, or None. It may hold braces itself."""
    boxes = closed_boxes(text)
    if not boxes:
        return None
    last = max(boxes)
    return text[last.inside : last.end].strip()


def unboxed(text: str) -> str:
    r"""Return the content of the last `\boxed{…}`, or the text itself if it has none."""
    boxed = last_boxed(text)
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
