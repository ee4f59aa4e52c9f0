"""The boxes and points of a gold or of an answer as shares of the picture, to be drawn."""

from __future__ import annotations

from typing import Any

from vlaa_ray.rewards.verifiers.frames import Size, in_unit
from vlaa_ray.rewards.verifiers.grounding import box_fault, read_boxes
from vlaa_ray.rewards.verifiers.points import read_points
from vlaa_ray.text.answers import MAX_CHARS, unboxed

MOST_MARKS = 50
Shares = tuple[float, ...]
"""A box (x1, y1, x2, y2) or a point (x, y) in shares of the picture's width and height, 0 to 1."""


def marks_in(value: Any, verifier_type: str, size: Size) -> tuple[list[Shares], str]:
    """Return the boxes of a value, or for `points` its points if it has no box; and why some are missing, or "".

    `size` is (width, height) of the value's frame. Marks outside the picture are left out, and only the first 50 count.
    """
    if isinstance(value, str):
        value = unboxed(value[:MAX_CHARS])
    boxes = read_boxes(value, size, corners=verifier_type != "points")[:MOST_MARKS]
    if boxes or verifier_type != "points":
        faults = [box_fault(box, size) for box in boxes]
        sound = [in_unit(box, size) for box, fault in zip(boxes, faults, strict=True) if not fault]
        return [tuple(min(1.0, max(0.0, share)) for share in box) for box in sound], next(filter(None, faults), "")
    points = [in_unit(point, size) for point in read_points(value)[:MOST_MARKS]]
    inside = [point for point in points if all(0 <= share <= 1 for share in point)]
    return inside, "" if len(inside) == len(points) else "a point lies outside the image"
