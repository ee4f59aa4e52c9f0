"""points: where to click. A gold box wants a point inside; a gold point wants one near it.

    verify_points("(0.4, 0.5)", [0.3, 0.3, 0.6, 0.6], frame="unit").value == 1.0

Several golds are matched to the answered points in the best possible way; surplus points are divided by.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.frames import Frame, Size, frame_sizes, in_unit
from vlaa_ray.rewards.verifiers.grounding import NUMBER, Box, read_boxes
from vlaa_ray.rewards.verifiers.matching import best_total
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

Point = tuple[float, float]
_MAX_POINTS = 200
_POINT = re.compile(rf"[\[(]{NUMBER},{NUMBER}[\])]")


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
    """Sum of what the matched points earn / the larger number of points, in [0, 1].

    A point in its gold box earns 1, else 0. At a distance d from its gold point it earns max(0, 1 - d / `radius`),
    both as shares of the image's width and height. Frames and sizes as in `verify_box`, but one must be named.
    """
    if frame is None:
        return invalid(answer, "no frame is named: shares of the image are unknown")
    sizes = frame_sizes(frame, gold_frame, image_size, input_size)
    if isinstance(sizes, str):
        return invalid(answer, sizes)
    size, gold_size = sizes
    boxes = read_boxes(gold)
    targets: Sequence[Box | Point] = boxes or read_points(gold)
    if not targets or not all(math.isfinite(value) for target in targets for value in target):
        return invalid(answer, f"gold is neither points x, y nor boxes x1, y1, x2, y2: {str(gold)[:80]!r}")
    points = read_points(unboxed(answer[:MAX_CHARS]))
    if not 0 < len(points) <= _MAX_POINTS:
        return wrong(answer, f"{len(points)} points in the answer, expected {len(targets)}")
    wanted, given = [in_unit(one, gold_size) for one in targets], [in_unit(one, size) for one in points]
    total = best_total(np.array([[_worth(target, point, radius) for point in given] for target in wanted]))
    value = min(1.0, total / max(len(targets), len(points)))
    return scored(value, answer, "" if value == 1.0 else f"{len(points)} points for {len(targets)}, {total:.3f} in all")


def _worth(target: tuple[float, ...], point: tuple[float, ...], radius: float) -> float:
    x, y = point
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return 0.0
    if len(target) == 4:
        return float(target[0] <= x <= target[2] and target[1] <= y <= target[3])
    return max(0.0, 1.0 - math.hypot(x - target[0], y - target[1]) / radius)


def read_points(value: Any) -> list[Point]:
    """Points of a text, a mapping with `point_2d`, a pair or a list of them; repeated ones once."""
    if isinstance(value, str):
        found = [(float(x), float(y)) for x, y in _POINT.findall(" ".join(value.split()))]
    elif isinstance(value, dict):
        return read_points(value.get("point_2d"))
    elif not isinstance(value, list | tuple):
        return []
    elif len(value) == 2 and all(isinstance(one, int | float) for one in value):
        found = [(float(value[0]), float(value[1]))]
    else:
        found = [point for item in value if isinstance(item, list | tuple | dict) for point in read_points(item)]
    return list(dict.fromkeys(point for point in found if all(map(math.isfinite, point))))
