"""boxes: several boxes with labels. Each gold box earns its IoU with the answered box that is matched to it.

    verify_boxes('[{"bbox_2d": [0, 0, 2, 2], "label": "ox"}]', [{"bbox_2d": [0, 0, 2, 1], "label": "ox"}]).value == 0.5

The matching is one to one and the best possible one (Hungarian method), so the order of the boxes does not matter.
Where the gold has labels, they must agree. A missing box earns nothing. Each surplus box, even a malformed one, adds
to the number by which the sum is divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.frames import Frame, Size, differ, frame_sizes
from vlaa_ray.rewards.verifiers.grounding import (
    Box,
    box_fault,
    gold_fault,
    gold_shapes,
    iou,
    names_everything,
    shown,
    to_unit,
)
from vlaa_ray.rewards.verifiers.matching import best_total
from vlaa_ray.rewards.verifiers.none_words import says_none
from vlaa_ray.rewards.verifiers.shape_parts import Shape
from vlaa_ray.rewards.verifiers.shapes import read_shapes
from vlaa_ray.rewards.verifiers.text import normalised
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

Threshold = float | Sequence[Sequence[float]]
_MAX_BOXES = 200


class Labelled(NamedTuple):
    """A box and the label of the object in it; None if it has no label."""

    box: Box
    label: str | None


def verify_boxes(
    answer: str,
    gold: Any,
    *,
    frame: Frame | None = None,
    gold_frame: Frame | None = None,
    image_size: Size | None = None,
    input_size: Size | None = None,
    threshold: Threshold = 0.0,
    progress: float = 1.0,
    surplus_price: float = 1.0,
) -> RewardResult:
    """Return the sum of the matched boxes' IoUs / (number of gold boxes + `surplus_price` · surplus boxes), in [0, 1].

    An IoU below `threshold` counts as 0. `threshold` may be a schedule [[until, threshold], …]. The first entry with
    `until` >= `progress` applies; `progress` is the share of training that is done. (V-Triune's dynamic IoU, arXiv
    2505.18129, is [[0.1, 0.85], [0.25, 0.95], [1, 0.99]].)

    If the gold is an empty list, the right answer is an empty list, or says in words that there is nothing. An empty
    answer says nothing. Frames and sizes are as in `verify_box`. A box that is the whole image earns 0, unless a gold
    box fills at least half of the image. Invalid if a gold box has no area or reaches outside the image.
    """
    sizes = frame_sizes(frame, gold_frame, image_size, input_size)
    if isinstance(sizes, str):
        return invalid(answer, sizes)
    size, gold_size = sizes
    nothing = _is_empty(gold)
    reference = [] if nothing else _labelled(_sure(gold_shapes(gold, gold_size)))
    if not nothing and not 0 < len(reference) <= _MAX_BOXES:
        return invalid(answer, f"gold is not a list of at most {_MAX_BOXES} boxes: {shown(gold)}")
    if fault := next((fault for wanted in reference if (fault := gold_fault(wanted.box, gold_size))), ""):
        return invalid(answer, f"gold: {fault}")
    text = unboxed(answer[:MAX_CHARS])
    boxes = _labelled(read_shapes(text, size))
    if nothing:
        return _none_to_find(answer, text, len(boxes))
    if all(wanted.label is None for wanted in reference):
        boxes = list(dict.fromkeys(Labelled(given.box, None) for given in boxes))
    if not 0 < len(boxes) <= _MAX_BOXES:
        return wrong(answer, f"{len(boxes)} boxes in the answer, expected {len(reference)}")
    sound = [
        given
        for given in boxes
        if not box_fault(given.box, size)
        and not all(names_everything(given.box, size, wanted.box, gold_size) for wanted in reference)
    ]
    if differ(frame, gold_frame):
        reference = [Labelled(to_unit(wanted.box, gold_size), wanted.label) for wanted in reference]
        sound = [Labelled(to_unit(given.box, size), given.label) for given in sound]
    total = best_total(_worth(reference, sound, threshold_at(threshold, progress)))
    value = min(1.0, total / (len(reference) + surplus_price * max(0, len(boxes) - len(reference))))
    reason = f"{len(boxes)} boxes in the answer, {len(reference)} in the gold, sum of their IoUs {total:.3f}"
    return scored(value, answer, "" if value == 1.0 else reason)


def _worth(gold: list[Labelled], answered: list[Labelled], least: float) -> np.ndarray:
    """Return [gold, answered]: the IoU of each pair, or 0 if the labels differ or the IoU is below `least`."""
    worth = np.zeros((len(gold), len(answered)))
    for row, wanted in enumerate(gold):
        for column, given in enumerate(answered):
            if wanted.label is None or wanted.label == given.label:
                overlap = iou(wanted.box, given.box)
                worth[row, column] = overlap if overlap >= least else 0.0
    return worth


def threshold_at(threshold: Threshold, progress: float) -> float:
    """Return the least IoU that counts when `progress` (0–1) of the training is done."""
    if isinstance(threshold, int | float):
        return float(threshold)
    return float(next((least for until, least in threshold if progress <= until), threshold[-1][1]))


def _none_to_find(answer: str, text: str, num_boxes: int) -> RewardResult:
    if not num_boxes and says_none(text):
        return scored(1.0, answer)
    return wrong(answer, f"{num_boxes} boxes in the answer, expected none, in words or as an empty list")


def _is_empty(gold: Any) -> bool:
    """Return whether the gold is an empty list, as itself or as text."""
    return not gold if isinstance(gold, list | tuple) else isinstance(gold, str) and "".join(gold[:20].split()) == "[]"


def _sure(shapes: Iterable[Shape]) -> list[Shape]:
    """Return the shapes without the labels that are only words beside them: a gold must not ask for a guess."""
    return [shape if shape.sure else shape._replace(label=None) for shape in shapes]


def _labelled(shapes: Iterable[Shape]) -> list[Labelled]:
    """Return the different boxes. A box that has a label from a key or a tag does not count again without it."""
    boxes = [(Box(*shape.numbers), shape) for shape in shapes if len(shape.numbers) == 4]
    named = {box for box, shape in boxes if shape.sure}
    kept = [(box, shape.label) for box, shape in boxes if shape.sure or box not in named]
    return list(dict.fromkeys(Labelled(box, normalised(label or "") or None) for box, label in kept))
