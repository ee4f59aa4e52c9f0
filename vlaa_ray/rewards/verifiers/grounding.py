"""iou: the intersection over union (IoU) of the answered box and the gold box (arXiv 2504.11468, 4.1).

    verify_box("[0.1, 0.2, 0.7, 0.5]", [0.1, 0.2, 0.7, 0.5], frame="unit").value == 1.0

A box is x1, y1, x2, y2, and its area is (x2 - x1) · (y2 - y1), without a +1. A parameter names the frame of the
coordinates; it is never guessed from their size. The frames are `unit` (0–1), `rel1000` (0–1000), `resized_px` (pixels
of the image that the model saw, of the size `input_size`) and `original_px` (pixels of the file, of the size
`image_size`). Without a frame, both boxes count as boxes in the same frame, and no box counts as outside the image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.frames import ANY_SIZE, MAX_COORDINATE, Frame, Size, differ, frame_sizes, in_unit
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_EDGE_TOLERANCE = 1e-6
_WHOLE, _HALF = 0.98, 0.5  # of the image's area
_BELOW_ONE = math.nextafter(1.0, 0.0)
NUMBER = r" ?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?|[-+]?(?:nan|NaN|inf(?:inity)?|Infinity)) ?"
_FOUR = re.compile(rf"[\[(]{NUMBER},{NUMBER},{NUMBER},{NUMBER}[\])]")
_CORNERS = re.compile(rf"[\[(]{NUMBER},{NUMBER}[\])] ?,? ?[\[(]{NUMBER},{NUMBER}[\])]")
_BARE = re.compile(rf"{NUMBER}[, ]{NUMBER}[, ]{NUMBER}[, ]{NUMBER}")


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
    the processor's resize. Invalid if the gold is not one box, or if a frame in pixels has no size.
    """
    gold_boxes = _read_gold_text(gold) if isinstance(gold, str) else read_boxes(gold)
    if len(gold_boxes) != 1:
        return invalid(answer, f"gold is not one box x1, y1, x2, y2: {str(gold)[:80]!r}")
    sizes = frame_sizes(frame, gold_frame, image_size, input_size)
    if isinstance(sizes, str):
        return invalid(answer, sizes)
    size, gold_size = sizes
    boxes = _read_text(unboxed(answer[:MAX_CHARS]))
    if len(boxes) != 1:
        return wrong(answer, f"{len(boxes)} boxes in the answer, expected 1")
    box, reference = boxes[0], gold_boxes[0]
    fault = box_fault(box, size)
    if fault:
        return wrong(answer, f"{fault}: {list(box)}")
    if box_fault(reference, ANY_SIZE):
        return wrong(answer, f"the gold box has no area: {list(reference)}")
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


def read_boxes(value: Any, max_depth: int = 3) -> list[Box]:
    """Return the different boxes of a list, a mapping with `bbox_2d` or `bbox`, JSON or plain text."""
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, dict):
        value = value.get("bbox_2d", value.get("bbox"))
    if not isinstance(value, list | tuple) or not max_depth:
        return []
    numbers = [float(item) for item in value if isinstance(item, int | float) and abs(item) <= MAX_COORDINATE]
    if len(value) == 4 and len(numbers) == 4:
        return [Box(*numbers)]
    return _distinct(box for item in value for box in read_boxes(item, max_depth - 1))


@lru_cache(maxsize=4096)
def _read_gold_text(text: str) -> tuple[Box, ...]:
    return tuple(_read_text(text))


def _read_text(text: str) -> list[Box]:
    if text[:1] == "[" and text[-1:] == "]" and text.count(",") == 3 and "_" not in text:
        try:  # the usual case; it is quicker than the regular expressions below
            x1, y1, x2, y2 = text[1:-1].split(",")
            return [Box(float(x1), float(y1), float(x2), float(y2))]
        except ValueError:
            pass
    text = " ".join(text.split())
    corners = _FOUR.findall(text) or _CORNERS.findall(text)
    if not corners:
        bare = _BARE.fullmatch(text)
        corners = [bare.groups()] if bare else []
    return _distinct(Box(*map(float, numbers)) for numbers in corners)


def _distinct(boxes: Iterable[Box]) -> list[Box]:
    return list(dict.fromkeys(boxes))


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
    margin = _EDGE_TOLERANCE * (width if width > height else height)
    inside = x1 >= -margin and y1 >= -margin and x2 <= width + margin and y2 <= height + margin
    return "" if inside else "the box reaches outside the image"


def names_everything(box: Box, size: Size, gold: Box, gold_size: Size) -> bool:
    """Return whether the answered box is the whole image although the gold box fills less than half of it."""
    return _share(box, size) >= _WHOLE and _share(gold, gold_size) < _HALF


def _share(box: Box, size: Size) -> float:
    """Return the share of the image that the box covers; 0 if the size is unknown."""
    return (box.x2 - box.x1) * (box.y2 - box.y1) / (size[0] * size[1])


def to_unit(box: Box, size: Size) -> Box:
    """Return the box with its edges as shares of the frame's width and height."""
    return Box(*in_unit(box, size))
