r"""The boxes of an answer, and what stands beside them.

For example:

    boxed_parts(r"B, since \boxed{12}") -> ("B, since  ", ["12"])
"""

from __future__ import annotations

from vlaa_ray.text.answers import closed_boxes


def boxed_parts(text: str) -> tuple[str, list[str]]:
    r"""Return the text outside all closed `\boxed{…}`, with a blank for each box, and the boxes' contents in order.

    A box that holds another box gives its inner box only. A box that is opened but not closed stays in the text. The
    text is read once, so the time grows with its length only.
    """
    contents: list[str] = []
    outer: list[tuple[int, int]] = []  # the spans of the boxes that stand in no other box
    for start, inside, end in closed_boxes(text):
        if not outer or outer[-1][0] < start:
            contents.append(text[inside:end])
        while outer and outer[-1][0] > start:
            outer.pop()
        outer.append((start, end + 1))
    return (_without(text, outer) if outer else text), contents


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts, last = [], 0
    for start, end in spans:
        parts.append(text[last:start])
        last = end
    return " ".join([*parts, text[last:]])
