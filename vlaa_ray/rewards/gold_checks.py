"""Faults of golds: a gold with a fault can't judge any answer. Examples are text where a number is expected, a box
without an area, and an empty gold.

    gold_faults(rewards, [prompt]) == ["the gold can't be judged: gold names no single option letter: 'maybe'"]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.manager import RewardManager, is_blank
from vlaa_ray.rewards.verifiers.frames import Size, frame_size
from vlaa_ray.rewards.verifiers.grounding import Box, read_boxes
from vlaa_ray.rewards.verifiers.open_ended import NO_REFERENCE
from vlaa_ray.rewards.verifiers.text import texts_of

_SILENT = ("iou", "points")
"""The types whose verifiers may give every answer 0.0 because of a faulty gold, instead of an invalid verdict."""
_ANY_OF = ("text", "ocr")
"""The types whose gold may be a list of right answers."""
_LEAST_OWN_WORTH = 0.9


def gold_faults(rewards: RewardManager, prompts: Sequence[Prompt]) -> list[str | None]:
    """Return for each prompt the fault of its gold or its verifier parameters, in words; None if there is no fault.

    A gold that a built-in verifier judges is tested with two answers. The gold itself, given as the answer, must earn
    at least 0.9. A wrong answer must get a verdict, too, because equal texts count as right even if the verifier can't
    read the gold. Golds that a scorer or a user's function judges are not tested with answers.
    """
    faults = [static_gold_fault(rewards, prompt) for prompt in prompts]
    ruled = [n for n, prompt in enumerate(prompts) if not faults[n] and rewards.judge_of(prompt) == "rule"]
    own = rewards.judged([_right(rewards, prompts[number]) for number in ruled])
    other = rewards.judged([(prompts[number], _tagged("0")) for number in ruled])
    for number, of_gold, of_other in zip(ruled, own, other, strict=True):
        unjudged = next((result.reason for result in (of_gold, of_other) if not result.valid), None)
        if unjudged is not None:
            faults[number] = f"the gold can't be judged: {unjudged}"
        elif (of_gold.value or 0.0) < _LEAST_OWN_WORTH:
            faults[number] = f"the gold, given as the answer, earns less than {_LEAST_OWN_WORTH}: {of_gold.reason}"
    return faults


def static_gold_fault(rewards: RewardManager, prompt: Prompt) -> str | None:
    """Return the fault of a prompt's gold or parameters that shows before any answer is judged, or None."""
    if names := rewards.odd_params(prompt):
        return f"the verifier {prompt.verifier_type!r} can't use the verifier_params {names}"
    # for a built-in verifier an empty gold may be right: an empty list says that there is no box in the image
    if is_blank(prompt.gold) and rewards.judge_of(prompt) == "scorer":
        return "the gold can't be judged: it is empty"
    return None


def gold_fault_from_results(rewards: RewardManager, prompt: Prompt, results: Sequence[RewardResult]) -> str | None:
    """Return the fault of the gold that the built-in verifier or the scorer found as it judged answers, or None."""
    odd = [result.reason for result in results if not result.valid]
    if unscored := next((reason for reason in odd if NO_REFERENCE in reason), None):
        return f"the gold can't be judged: {unscored}"
    if rewards.judge_of(prompt) == "rule" and (odd or prompt.verifier_type in _SILENT):
        return gold_faults(rewards, [prompt])[0]
    return None


def _right(rewards: RewardManager, prompt: Prompt) -> tuple[Prompt, str]:
    """Return (prompt, response), where the response gives the gold as its answer, in the gold's own coordinates."""
    gold, params, answer = prompt.gold, rewards.params_of(prompt), prompt.gold_text
    if frame := params.get("gold_frame"):
        prompt = replace(prompt, verifier_params=prompt.verifier_params | {"frame": frame})
    boxes = read_boxes(gold) if prompt.verifier_type in _SILENT else []
    if prompt.verifier_type == "iou" and len(boxes) == 1:
        size = frame_size(frame or params.get("frame"), params.get("image_size"), params.get("input_size"))
        answer = answer if isinstance(size, str) else str(list(_within(boxes[0], size)))
    elif prompt.verifier_type == "points" and boxes:
        answer = str([[(box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2] for box in boxes])
    elif prompt.verifier_type in _ANY_OF and (texts := texts_of(gold)):
        answer = texts[0]
    return prompt, _tagged(answer)


def _within(box: Box, size: Size) -> Box:
    """Return the box cut to the image, because rounding may have put a side slightly outside."""
    width, height = size
    return Box(max(0.0, box.x1), max(0.0, box.y1), min(width, box.x2), min(height, box.y2))


def _tagged(answer: str) -> str:
    return f"<think>.</think><answer>{answer}</answer>"
