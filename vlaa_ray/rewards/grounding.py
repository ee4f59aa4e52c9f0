"""iou: the intersection over union of the answered box and the gold one, as it is (arXiv 2504.11468, 4.1).

    verify_box("[0.1, 0.2, 0.7, 0.5]", [0.1, 0.2, 0.7, 0.5], frame="unit").value == 1.0

Boxes are x1, y1, x2, y2, half-open, without a +1. The frame of the coordinates is named, never guessed from
their size: `unit` (0–1), `rel1000` (0–1000), `resized_px` (pixels of the image the model saw, `input_size`)
or `original_px` (pixels of the file, `image_size`). Without a frame both boxes are taken to share one, and
nothing is known to lie outside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.extraction import unboxed
from vlaa_ray.rewards.verdicts import invalid, scored, wrong

Frame = Literal["unit", "rel1000", "resized_px", "original_px"]
_MAX_COORDINATE = 1e9
_MAX_CHARS = 20_000
_EDGE_TOLERANCE = 1e-6
_NUM = r" ?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?|[-+]?(?:nan|NaN|inf(?:inity)?|Infinity)) ?"
_FOUR = re.compile(rf"[\[(]{_NUM},{_NUM},{_NUM},{_NUM}[\])]")
_CORNERS = re.compile(rf"[\[(]{_NUM},{_NUM}[\])] ?,? ?[\[(]{_NUM},{_NUM}[\])]")
_BARE = re.compile(rf"{_NUM}[, ]{_NUM}[, ]{_NUM}[, ]{_NUM}")


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
    image_size: Sequence[float] | None = None,
    input_size: Sequence[float] | None = None,
) -> RewardResult:
    """The IoU in [0, 1]; 0.0 with a reason for no box, several, or one that is reversed, empty or outside.

    `gold_frame` defaults to `frame`. Sizes are (width, height) in pixels: `image_size` of the file,
    `input_size` after the processor's resize; a pixel frame without its size can't be judged.
    """
    gold_boxes = read_boxes(gold)
    if len(gold_boxes) != 1:
        return invalid(answer, f"gold is not one box x1, y1, x2, y2: {str(gold)[:80]!r}")
    sizes = {"unit": (1.0, 1.0), "rel1000": (1000.0, 1000.0), "resized_px": input_size, "original_px": image_size}
    gold_frame = gold_frame or frame
    for needed in (frame, gold_frame):
        if needed is not None and not _is_size(sizes.get(needed)):
            return invalid(answer, f"no size (width, height) for the frame {needed!r}")
    boxes = read_boxes(unboxed(answer[:_MAX_CHARS]))
    if len(boxes) != 1:
        return wrong(answer, f"{len(boxes)} boxes in the answer, expected 1")
    box, reference = boxes[0], gold_boxes[0]
    fault = _fault(box, sizes[frame] if frame else None)
    if fault:
        return wrong(answer, f"{fault}: {list(box)}")
    if _fault(reference, None):
        return wrong(answer, f"the gold box has no area: {list(reference)}")
    if frame and gold_frame and frame != gold_frame:
        box, reference = _to_unit(box, sizes[frame]), _to_unit(reference, sizes[gold_frame])
    value = iou(box, reference)
    return scored(value, answer, "" if value else "the boxes don't overlap")


def iou(a: Box, b: Box) -> float:
    """Area of the intersection over area of the union, in [0, 1]; 1 only for equal boxes. Needs boxes with an area."""
    if a == b:
        return 1.0
    left, top = min(a.x1, b.x1), min(a.y1, b.y1)
    width, height = max(a.x2, b.x2) - left, max(a.y2, b.y2) - top
    # Scaled to the smallest box around both, so that neither tiny nor huge coordinates under- or overflow.
    overlap_x = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) / width
    overlap_y = max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1)) / height
    intersection = overlap_x * overlap_y
    areas = sum((box.x2 - box.x1) / width * ((box.y2 - box.y1) / height) for box in (a, b))
    # Boxes that differ by less than a float can show must not count as equal.
    return min(intersection / (areas - intersection), math.nextafter(1.0, 0.0)) if intersection else 0.0


def read_boxes(value: Any) -> list[Box]:
    """The different boxes in a list, a mapping with `bbox_2d` or `bbox`, JSON or plain text; may be none."""
    if isinstance(value, dict):
        return read_boxes(value.get("bbox_2d", value.get("bbox")))
    if isinstance(value, list | tuple):
        numbers = [float(item) for item in value if isinstance(item, int | float) and abs(item) <= 1e300]
        if len(value) == 4 and len(numbers) == 4:
            return [Box(*numbers)]
        return _distinct(box for item in value if isinstance(item, dict | list | tuple) for box in read_boxes(item))
    return _read_text(value) if isinstance(value, str) else []


def _read_text(text: str) -> list[Box]:
    text = " ".join(text.split())
    found = _FOUR.findall(text) or _CORNERS.findall(text)
    if not found:
        bare = _BARE.fullmatch(text)
        found = [bare.groups()] if bare else []
    return _distinct(Box(*map(float, numbers)) for numbers in found)


def _distinct(boxes: Any) -> list[Box]:
    return list(dict.fromkeys(boxes))


def _is_size(size: Any) -> bool:
    return isinstance(size, list | tuple) and len(size) == 2 and all(0 < side < _MAX_COORDINATE for side in size)


def _fault(box: Box, size: Any) -> str:
    if not all(math.isfinite(value) and abs(value) <= _MAX_COORDINATE for value in box):
        return "a coordinate is not finite"
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        return "the box is reversed or empty"
    if size is None:
        return ""
    margin_x, margin_y = size[0] * _EDGE_TOLERANCE, size[1] * _EDGE_TOLERANCE
    inside = (
        box.x1 >= -margin_x and box.y1 >= -margin_y and box.x2 <= size[0] + margin_x and box.y2 <= size[1] + margin_y
    )
    return "" if inside else "the box reaches outside the image"


def _to_unit(box: Box, size: Any) -> Box:
    return Box(box.x1 / size[0], box.y1 / size[1], box.x2 / size[0], box.y2 / size[1])
