r"""The boxes of an answer, and what stands beside them.

For example:

    boxed_parts(r"B, since \boxed{12}") -> ("B, since  ", ["12"])
"""

from __future__ import annotations

import re

_BOX_OR_BRACE = re.compile(r"\\f?boxed\s*+\{|\\fbox\s*+\{|\\.|[{}]", re.DOTALL)


def boxed_parts(text: str) -> tuple[str, list[str]]:
    r"""Return the text outside all closed `\boxed{…}`, with a blank for each box, and the boxes' contents in order.

    A box that holds another box gives its inner box only. A box that is opened but not closed stays in the text. The
    text is read once, so the time grows with its length only.
    """
    if "box" not in text:
        return text, []
    contents: list[str] = []
    outer: list[tuple[int, int]] = []  # the spans of closed boxes that stand in no other closed box
    braces: list[tuple[int, int, bool]] = []  # where each open brace begins, where its content begins, is it a box
    for match in _BOX_OR_BRACE.finditer(text):
        sign = match.group()
        if sign[-1] == "{" and len(sign) != 2:
            braces.append((match.start(), match.end(), len(sign) > 1))
        elif sign == "}" and braces:
            start, inside, is_box = braces.pop()
            if not is_box:
                continue
            if not outer or outer[-1][0] < start:
                contents.append(text[inside : match.start()])
            while outer and outer[-1][0] > start:
                outer.pop()
            outer.append((start, match.end()))
    return _without(text, outer), contents


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts, last = [], 0
    for start, end in spans:
        parts.append(text[last:start])
        last = end
    return " ".join([*parts, text[last:]])
