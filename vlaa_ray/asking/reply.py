"""What a model said: its reasoning, its answer, and the boxes and points in the pixels of the asked picture.

read_reply("<think>Left of it.</think><answer>[0.1, 0.2, 0.5, 0.6]</answer>").answer == "[0.1, 0.2, 0.5, 0.6]"
marks_in("[0.1, 0.2, 0.5, 0.6]", "unit", (200, 100), None) == (Mark((20.0, 20.0, 100.0, 60.0), None),)
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from vlaa_ray.rewards.verifiers.frames import Frame, Size, frame_size, from_unit, in_unit
from vlaa_ray.rewards.verifiers.grounding import Box, box_fault, edge_margin
from vlaa_ray.rewards.verifiers.shape_parts import RUN, Shape
from vlaa_ray.rewards.verifiers.shapes import read_shapes
from vlaa_ray.text.answers import MAX_CHARS, OPEN, extract_answer, split_thoughts, unboxed

_MAX_MARKS = 50
_KEPT_CONTROLS = "\n\t"


@dataclass(frozen=True, kw_only=True)
class GeneratedText:
    """The text that a model generated. `reasoning` is what a server has already separated from it; else empty."""

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    num_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """The reasoning and the answer of a generated text. `tagged` is False if the text has no <answer>…</answer>."""

    reasoning: str
    answer: str
    tagged: bool


class Mark(NamedTuple):
    """A box (x1, y1, x2, y2) or a point (x, y) in pixels of the upright picture, and its label if it has one."""

    pixels: tuple[float, ...]
    label: str | None


def read_reply(text: str, reasoning: str = "") -> ModelReply:
    """Return the reasoning and the answer of a text; without tags, all that is not a thought is the answer."""
    answer = extract_answer(text)
    thought, said = split_thoughts(text)
    before = text.partition(OPEN)[0].strip() if answer is not None else ""  # without <think>, it explains the answer
    reasoning = reasoning.strip() or thought or before
    return ModelReply(reasoning=reasoning, answer=said if answer is None else answer, tagged=answer is not None)


def likely_frame(answer: str, at_hand: Frame) -> Frame:
    """Return the frame of an answer where nothing says it: shares if no number is above 1, else `at_hand`."""
    numbers = [number for shape in read_shapes(unboxed(answer[:MAX_CHARS])) for number in shape.numbers]
    return "unit" if numbers and all(0 <= number <= 1 for number in numbers) else at_hand


def marks_in(
    answer: str, frame: Frame, image_size: Size, input_size: Size | None, *, is_guess: bool = False
) -> tuple[Mark, ...]:
    """Return the boxes of an answer, or its points if it has no box, that lie inside the picture.

    `image_size` is (width, height) of the picture in pixels, `input_size` that of the picture as the model saw it.
    With `is_guess` the frame is a guess: then only boxes count that are written as one group, because an answer such
    as (3, 5) may be a coordinate of mathematics.
    """
    size = frame_size(frame, image_size, input_size)
    if isinstance(size, str):
        return ()
    shapes = _shapes_in(unboxed(answer[:MAX_CHARS]), size)
    if is_guess:
        shapes = [shape for shape in shapes if len(shape.numbers) == 4 and shape.rank != RUN]
    inside = [shape for shape in shapes if _lies_inside(shape, size)]
    marks = (Mark(_clipped(from_unit(in_unit(s.numbers, size), image_size), image_size), s.label) for s in inside)
    return tuple(dict.fromkeys(marks))[:_MAX_MARKS]


def _shapes_in(text: str, size: Size) -> list[Shape]:
    """Return the boxes of a text, or its points; two points without labels are the corners of a box."""
    shapes = read_shapes(text, size, corners=False)
    boxes = [shape for shape in shapes if len(shape.numbers) == 4]
    points = [shape for shape in shapes if len(shape.numbers) == 2]
    if boxes or (len(points) != 2 or any(shape.label for shape in points)):
        return boxes or points
    return [shape for shape in read_shapes(text, size) if len(shape.numbers) == 4] or points


def _lies_inside(shape: Shape, size: Size) -> bool:
    if len(shape.numbers) == 4:
        return not box_fault(Box(*shape.numbers), size)
    if len(shape.numbers) != 2:
        return False
    margins = (edge_margin(side) for side in size)
    return all(-m <= value <= side + m for value, side, m in zip(shape.numbers, size, margins, strict=True))


def _clipped(pixels: tuple[float, ...], size: Size) -> tuple[float, ...]:
    """Return the pixels without the rounding that reaches outside the picture."""
    return tuple(round(min(max(value, 0.0), size[place % 2]), 2) for place, value in enumerate(pixels))


def printable(text: str) -> str:
    """Return a foreign text without the characters that steer a terminal; line ends and tabs stay."""
    return "".join(c if c in _KEPT_CONTROLS or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "�" for c in text)
