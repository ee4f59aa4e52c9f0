"""iou: the intersection over union (IoU) of the answered box and the gold box (arXiv 2504.11468, 4.1).

    verify_box("[0.1, 0.2, 0.7, 0.5]", [0.1, 0.2, 0.7, 0.5], frame="unit").value == 1.0
    verify_box("x1=1, y1=2, x2=3, y2=4", {"bbox_2d": [1, 2, 3, 4]}).value == 1.0

A box is x1, y1, x2, y2, in any writing that `shapes.py` reads. Its area is (x2 - x1) · (y2 - y1), without a +1. A
parameter names the frame of the coordinates; it is never guessed from their size. The frames are `unit` (0–1),
`rel1000` (0–1000), `resized_px` (pixels of the image that the model saw, of the size `input_size`) and `original_px`
(pixels of the file, of the size `image_size`). Without a frame, both boxes count as boxes in the same frame, and no box
counts as outside the image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.frames import ANY_SIZE, MAX_COORDINATE, Frame, Size, differ, frame_sizes, in_unit
from vlaa_ray.rewards.verifiers.plain_box import plain_box
from vlaa_ray.rewards.verifiers.shape_parts import Shape
from vlaa_ray.rewards.verifiers.shapes import read_shapes
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_EDGE_TOLERANCE = 1e-3  # of a side; a pixel where the side has fewer than 1,000
_MAX_GOLD_CHARS = 50_000
_NUMBERS = {int, float}
_LEAST_PIXELS = 8  # a smaller image may have a box of one pixel
_WHOLE, _HALF = 0.98, 0.5  # of the image's area
_OUTSIDE = "the box reaches outside the image"
_BELOW_ONE = math.nextafter(1.0, 0.0)


class Box(NamedTuple):
    """Corners x1, y1 (top left) and x2, y2 (bottom right), in the units of its frame."""

    x1: float
    y1: float
    x2: float
    y2: float


def verify_box(
    answer: str,
    gold: Any,
    *,
    frame: Frame | None = None,
    gold_frame: Frame | None = None,
    image_size: Size | None = None,
    input_size: Size | None = None,
) -> RewardResult:
    """Return the IoU in [0, 1].

    It is 0.0, with a reason, for no box, several boxes, or a box that is reversed, empty or outside the image. A box
    that is the whole image earns 0.0, too, unless the gold box fills at least half of the image: such an answer needs
    no look at the image.

    `gold_frame` defaults to `frame`. Sizes are (width, height) in pixels: `image_size` of the file, `input_size` after
    the processor's resize. Invalid if the gold is not one box, has no area or reaches outside the image, or if a frame
    in pixels has no size. The gold [0, 0, 0, 0], with which tables say that there is no box, gives every answer 0.0.
    """
    sizes = frame_sizes(frame, gold_frame, image_size, input_size)
    if isinstance(sizes, str):
        return invalid(answer, sizes)
    size, gold_size = sizes
    gold_boxes = read_boxes(gold, gold_size)
    if len(gold_boxes) != 1:
        return invalid(answer, f"gold is not one box x1, y1, x2, y2: {shown(gold)}")
    reference = gold_boxes[0]
    if not any(reference):
        return wrong(answer, "the gold box has no area: [0, 0, 0, 0]")
    if fault := gold_fault(reference, gold_size):
        return invalid(answer, f"gold: {fault}")
    boxes = _read_text(unboxed(answer[:MAX_CHARS]), size)
    if len(boxes) != 1:
        return wrong(answer, f"{len(boxes)} boxes in the answer, expected 1")
    box = boxes[0]
    fault = box_fault(box, size)
    if fault:
        return wrong(answer, f"{fault}: {list(box)}")
    if names_everything(box, size, reference, gold_size):
        return wrong(answer, "the box is the whole image")
    if differ(frame, gold_frame):
        box, reference = to_unit(box, size), to_unit(reference, gold_size)
    value = iou(box, reference)
    return scored(value, answer, "" if value else "the boxes don't overlap")


def iou(a: Box, b: Box) -> float:
    """Return the area of the intersection / the area of the union, in [0, 1]. It is 1 only for equal boxes.

    Both boxes must have an area.
    """
    if a == b:
        return 1.0
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    if ax2 <= bx1 or bx2 <= ax1 or ay2 <= by1 or by2 <= ay1:
        return 0.0
    # All lengths are divided by those of the smallest box around both, to avoid underflow and overflow.
    width = (ax2 if ax2 > bx2 else bx2) - (ax1 if ax1 < bx1 else bx1)
    height = (ay2 if ay2 > by2 else by2) - (ay1 if ay1 < by1 else by1)
    overlap_x = ((ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)) / width
    overlap_y = ((ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)) / height
    intersection = overlap_x * overlap_y
    area_a = (ax2 - ax1) / width * ((ay2 - ay1) / height)
    area_b = (bx2 - bx1) / width * ((by2 - by1) / height)
    # Different boxes must not count as equal because of rounding.
    return min(intersection / (area_a + area_b - intersection), _BELOW_ONE)


def read_boxes(value: Any, size: Size = ANY_SIZE, *, corners: bool = True) -> list[Box]:
    """Return the different boxes of a text, a list or a mapping; with `corners`, two points make a box, too.

    `size` is that of the frame of a text's location tokens. A value that can't be written as JSON has no boxes.
    """
    if (type(value) is list or type(value) is tuple) and len(value) == 4:
        x1, y1, x2, y2 = value
        if type(x1) in _NUMBERS and type(y1) in _NUMBERS and type(x2) in _NUMBERS and type(y2) in _NUMBERS:  # usual
            largest = MAX_COORDINATE
            finite = abs(x1) <= largest and abs(y1) <= largest and abs(x2) <= largest and abs(y2) <= largest
            return [Box(x1, y1, x2, y2)] if finite else []
    if corners and isinstance(value, str) and (plain := plain_box(value)):
        return [Box(*plain)]
    shapes = gold_shapes(value, size, corners=corners)
    return list(dict.fromkeys(Box(*shape.numbers) for shape in shapes if len(shape.numbers) == 4))


def gold_shapes(value: Any, size: Size = ANY_SIZE, *, corners: bool = True) -> tuple[Shape, ...]:
    """Return the different boxes and points of a text, a list or a mapping in their order.

    The tuple is empty for a value that can't be written as JSON, or that has more than 50,000 characters.
    """
    text = value if isinstance(value, str) else _as_json(value)
    return _read_gold(text, tuple(size), corners) if len(text) <= _MAX_GOLD_CHARS else ()


def shown(gold: Any) -> str:
    """Return the beginning of a gold for a message, and how long it is if it is too long to be read."""
    text = gold if isinstance(gold, str) else _as_json(gold) or type(gold).__name__
    if len(text) > _MAX_GOLD_CHARS:
        return f"{text[:80]!r} and {len(text) - 80} more characters, more than {_MAX_GOLD_CHARS} in all"
    return repr(text[:80])


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # other types, integers of thousands of digits, 2,000 lists deep
        return ""


@lru_cache(maxsize=4096)
def _read_gold(text: str, size: Size, corners: bool) -> tuple[Shape, ...]:
    return tuple(dict.fromkeys(read_shapes(text, size, corners=corners)))


def _read_text(text: str, size: Size) -> list[Box]:
    if text[:1] == "[" and text[-1:] == "]" and text.count(",") == 3 and "_" not in text:
        try:  # the usual case; it is quicker than the reader of all others
            x1, y1, x2, y2 = text[1:-1].split(",")
            return [Box(float(x1), float(y1), float(x2), float(y2))]
        except ValueError:
            pass
    if plain := plain_box(text):
        return [Box(*plain)]
    shapes = read_shapes(text, size)
    return list(dict.fromkeys(Box(*shape.numbers) for shape in shapes if len(shape.numbers) == 4))


def box_fault(box: Box, size: Size) -> str:
    """Return what is wrong with a box in a frame of this size; an empty text if the box is sound."""
    x1, y1, x2, y2 = box
    largest = MAX_COORDINATE
    if not (abs(x1) <= largest and abs(y1) <= largest and abs(x2) <= largest and abs(y2) <= largest):
        return "a coordinate is not finite"
    if x2 <= x1 or y2 <= y1:
        return "the box is reversed or empty"
    if size is ANY_SIZE:
        return ""
    width, height = size
    if x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height:
        return ""
    wide, high = edge_margin(width), edge_margin(height)
    inside = x1 >= -wide and y1 >= -high and x2 <= width + wide and y2 <= height + high
    return "" if inside else _OUTSIDE


def edge_margin(side: float) -> float:
    """Return how far outside an image of this side a coordinate still counts as rounding: 0.1 %, or one pixel."""
    margin = _EDGE_TOLERANCE * side
    return margin if margin > 1 or side <= 1 else 1.0


def gold_fault(box: Box, size: Size) -> str:
    """Return why no answer can be judged by this gold box, with its numbers as they were written, or an empty text."""
    fault = box_fault(box, size)
    if fault == _OUTSIDE:
        return f"the box {as_written(box)} reaches outside the picture of {size[0]:g} x {size[1]:g}"
    if fault:
        return f"{fault}: {as_written(box)}"
    if box.x2 <= 1 and box.y2 <= 1 and size is not ANY_SIZE and min(size) > _LEAST_PIXELS:
        picture = f"a pixel of the picture of {size[0]:g} x {size[1]:g}"
        return f"the box {as_written(box)} is smaller than {picture}: are these shares?"
    return ""


def as_written(numbers: Sequence[float]) -> str:
    """Return the numbers in brackets, whole ones without a decimal point."""
    return "[" + ", ".join(str(int(n)) if n == n // 1 else str(n) for n in numbers) + "]"


def names_everything(box: Box, size: Size, gold: Box, gold_size: Size) -> bool:
    """Return whether the answered box is the whole image although the gold box fills less than half of it."""
    return _share(box, size) >= _WHOLE and _share(gold, gold_size) < _HALF


def _share(box: Box, size: Size) -> float:
    """Return the share of the image that the box covers; 0 if the size is unknown."""
    return (box.x2 - box.x1) * (box.y2 - box.y1) / (size[0] * size[1])


def to_unit(box: Box, size: Size) -> Box:
    """Return the box with its edges as shares of the frame's width and height."""
    return Box(*in_unit(box, size))
