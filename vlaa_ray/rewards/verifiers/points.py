"""points: places to click on. The answered point must lie inside the gold box, or near the gold point.

    verify_points("(0.4, 0.5)", [0.3, 0.3, 0.6, 0.6], frame="unit").value == 1.0

Several golds are matched one to one with the answered points in the best possible way. Surplus points lower the reward.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.frames import ANY_SIZE, MAX_COORDINATE, Frame, Size, frame_sizes, in_unit
from vlaa_ray.rewards.verifiers.grounding import Box, as_written, edge_margin, gold_fault, gold_shapes, shown
from vlaa_ray.rewards.verifiers.matching import best_total
from vlaa_ray.rewards.verifiers.shape_parts import Shape
from vlaa_ray.rewards.verifiers.shapes import read_shapes
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

Point = tuple[float, float]
_MAX_POINTS = 200


def verify_points(
    answer: str,
    gold: Any,
    *,
    frame: Frame | None = None,
    gold_frame: Frame | None = None,
    image_size: Size | None = None,
    input_size: Size | None = None,
    radius: float = 0.05,
) -> RewardResult:
    """Return the sum of what the matched points earn / the number of golds or of points, the larger one; in [0, 1].

    A point earns 1 inside its gold box, and 0 outside. At a distance d from its gold point it earns
    max(0, 1 - d / `radius`). The distance is measured after x and y are divided by the image's width and height.
    Frames and sizes are as in `verify_box`. Invalid if `frame` is None, or if the gold can't be
    read or reaches outside the image.
    """
    if frame is None:
        return invalid(answer, "no frame is named, so the points' places in the image are unknown")
    sizes = frame_sizes(frame, gold_frame, image_size, input_size)
    if isinstance(sizes, str):
        return invalid(answer, sizes)
    size, gold_size = sizes
    targets = targets_of(gold, gold_size)
    if not 0 < len(targets) <= _MAX_POINTS:
        return invalid(answer, f"gold is neither points x, y nor boxes x1, y1, x2, y2: {shown(gold)}")
    if fault := next((fault for target in targets if (fault := _fault(target, gold_size))), ""):
        return invalid(answer, f"gold: {fault}")
    points = _points_of(read_shapes(unboxed(answer[:MAX_CHARS]), size, corners=False))
    if not 0 < len(points) <= _MAX_POINTS:
        return wrong(answer, f"{len(points)} points in the answer, expected {len(targets)}")
    wanted, given = [in_unit(target, gold_size) for target in targets], [in_unit(point, size) for point in points]
    total = best_total(np.array([[_worth(target, point, radius) for point in given] for target in wanted]))
    value = min(1.0, total / max(len(targets), len(points)))
    reason = f"{len(points)} points in the answer, {len(targets)} in the gold, sum of what they earn {total:.3f}"
    return scored(value, answer, "" if value == 1.0 else reason)


def _worth(target: tuple[float, ...], point: tuple[float, ...], radius: float) -> float:
    x, y = point
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return 0.0
    if len(target) == 4:
        return float(target[0] <= x <= target[2] and target[1] <= y <= target[3])
    return max(0.0, 1.0 - math.hypot(x - target[0], y - target[1]) / radius)


def _fault(target: tuple[float, ...], size: Size) -> str:
    if len(target) == 4:
        return gold_fault(Box(*target), size)
    wide, high = edge_margin(size[0]), edge_margin(size[1])
    if -wide <= target[0] <= size[0] + wide and -high <= target[1] <= size[1] + high:
        return ""
    return f"the point {as_written(target)} lies outside the picture of {size[0]:g} x {size[1]:g}"


def targets_of(gold: Any, size: Size = ANY_SIZE) -> Sequence[Box | Point]:
    """Return the different boxes of a gold, or its points if it has no box. It is a text, a list or a mapping."""
    shapes = gold_shapes(gold, size, corners=False)
    boxes = list(dict.fromkeys(Box(*shape.numbers) for shape in shapes if len(shape.numbers) == 4))
    return boxes or list(dict.fromkeys(_point(shape) for shape in shapes))


def read_points(value: Any) -> list[Point]:
    """Return the different points of a text, a list or a mapping."""
    return _points_of(gold_shapes(value, corners=False))


def _points_of(shapes: Iterable[Shape]) -> list[Point]:
    points = [_point(shape) for shape in shapes if len(shape.numbers) == 2]
    return list(dict.fromkeys(point for point in points if all(abs(value) <= MAX_COORDINATE for value in point)))


def _point(shape: Shape) -> Point:
    return shape.numbers[0], shape.numbers[1]
