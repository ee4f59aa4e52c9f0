"""boxes: several boxes with labels. Each gold box earns its IoU with the answered box that is matched to it.

    verify_boxes('[{"bbox_2d": [0, 0, 2, 2], "label": "ox"}]', [{"bbox_2d": [0, 0, 2, 1], "label": "ox"}]).value == 0.5

The matching is one to one and the best possible one (Hungarian method), so the order of the boxes does not matter.
Where the gold has labels, they must agree. A missing box earns nothing. Each surplus box, even a malformed one, adds
to the number by which the sum is divided.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.frames import Frame, Size, differ, frame_sizes
from vlaa_ray.rewards.verifiers.grounding import Box, box_fault, iou, names_everything, read_boxes, to_unit
from vlaa_ray.rewards.verifiers.matching import best_total
from vlaa_ray.rewards.verifiers.text import normalised
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

Threshold = float | Sequence[Sequence[float]]
_MAX_BOXES = 200
_OBJECT = re.compile(r"\{[^{}]*(?:\}|$)")
_LABEL = re.compile(r"""["']label["']\s*:\s*(?:"((?:[^"\\{}]|\\.){0,200})"|'((?:[^'\\{}]|\\.){0,200})')""")
_NOTHING = re.compile(r"\W*(?:none|nothing|no objects?)?\W*", re.IGNORECASE)


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

    If the gold is an empty list, the right answer is an empty list or "none". Frames and sizes are as in `verify_box`.
    A box that is the whole image earns 0, unless a gold box fills at least half of the image.
    """
    reference = read_labelled(gold)
    if not reference and not (isinstance(gold, list | tuple) and not gold):
        return invalid(answer, f"gold is not a list of boxes: {str(gold)[:80]!r}")
    sizes = frame_sizes(frame, gold_frame, image_size, input_size)
    if isinstance(sizes, str):
        return invalid(answer, sizes)
    size, gold_size = sizes
    fault = next((fault for wanted in reference if (fault := box_fault(wanted.box, gold_size))), "")
    if fault:
        return invalid(answer, f"a gold box is faulty: {fault}")
    boxes = read_labelled(unboxed(answer[:MAX_CHARS]))
    if not reference:
        if _NOTHING.fullmatch(answer[:MAX_CHARS]):
            return scored(1.0, answer)
        return wrong(answer, f"{len(boxes)} boxes in the answer, expected none")
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


def read_labelled(value: Any) -> list[Labelled]:
    """Return the different boxes of a text (whole or broken JSON, or bare lists), a list or a mapping."""
    if isinstance(value, str):
        boxes = [Labelled(box, _label(text)) for text in _OBJECT.findall(value) for box in read_boxes(text)]
        boxes += [Labelled(box, None) for box in read_boxes(_OBJECT.sub(" ", value))]
    elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        boxes = [labelled for item in value for labelled in read_labelled(item)]
    elif isinstance(value, dict):
        label = value.get("label")
        boxes = [Labelled(box, normalised(label) if isinstance(label, str) else None) for box in read_boxes(value)]
    else:
        boxes = [Labelled(box, None) for box in read_boxes(value)]
    return list(dict.fromkeys(boxes))


def _label(text: str) -> str | None:
    match = _LABEL.search(text)
    return normalised((match[1] or match[2] or "").replace("\\", "")) if match else None
