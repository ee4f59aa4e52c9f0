"""points: places to click on. The answered point must lie inside the gold box, or near the gold point.

    verify_points("(0.4, 0.5)", [0.3, 0.3, 0.6, 0.6], frame="unit").value == 1.0

Several golds are matched one to one with the answered points in the best possible way. Surplus points lower the reward.
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
    """Return the sum of what the matched points earn / the number of golds or of points, the larger one; in [0, 1].

    A point earns 1 inside its gold box, and 0 outside. At a distance d from its gold point it earns
    max(0, 1 - d / `radius`). The distance is measured after x and y are divided by the image's width and height.
    Frames and sizes are as in `verify_box`. Invalid if `frame` is None, or if the gold can't be read.
    """
    if frame is None:
        return invalid(answer, "no frame is named, so the points' places in the image are unknown")
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


def read_points(value: Any) -> list[Point]:
    """Return the different points of a text, a mapping with `point_2d`, a pair of numbers, or a list of these."""
    if isinstance(value, str):
        points = [(float(x), float(y)) for x, y in _POINT.findall(" ".join(value.split()))]
    elif isinstance(value, dict):
        return read_points(value.get("point_2d"))
    elif not isinstance(value, list | tuple):
        return []
    elif len(value) == 2 and all(isinstance(number, int | float) for number in value):
        points = [(float(value[0]), float(value[1]))]
    else:
        points = [point for item in value if isinstance(item, list | tuple | dict) for point in read_points(item)]
    return list(dict.fromkeys(point for point in points if all(map(math.isfinite, point))))
