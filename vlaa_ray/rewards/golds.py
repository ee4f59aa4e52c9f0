"""Golds that no answer can be judged by: a number that is none, a box without an area, nothing at all.

gold_faults(rewards, [prompt]) == ["the gold can't be judged: gold names no single option letter: 'maybe'"]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.grounding import read_boxes
from vlaa_ray.rewards.mixture import MixedReward, is_blank
from vlaa_ray.rewards.open_ended import NO_REFERENCE

_ANY_OF = ("text", "ocr")


def gold_faults(rewards: MixedReward, prompts: Sequence[Prompt]) -> list[str | None]:
    """By prompt what is wrong with its gold; None where nothing is, or where no rule judges it.

    Every gold as its own answer must be worth something. And another answer beside it must be judged: equal texts are
    right even where the gold can't be read.
    """
    faults = [_fault_before(rewards, prompt) for prompt in prompts]
    ruled = [number for number, prompt in enumerate(prompts) if not faults[number] and rewards.is_ruled(prompt)]
    own = rewards.score([_right(prompts[number]) for number in ruled])
    other = rewards.score([(prompts[number], _tagged("0")) for number in ruled])
    for number, of_gold, of_other in zip(ruled, own, other, strict=True):
        unjudged = next((result.reason for result in (of_gold, of_other) if not result.valid), None)
        if unjudged is not None:
            faults[number] = f"the gold can't be judged: {unjudged}"
        elif of_gold.value == 0:
            faults[number] = f"the gold fails against itself: {of_gold.reason}"
    return faults


def fault_of(rewards: MixedReward, prompt: Prompt, results: Sequence[RewardResult]) -> str | None:
    """What is wrong with a gold that some answers were judged by; None where nothing is, or was to be seen in time.

    Looked for where that is quick, and wherever no answer has earned anything.
    """
    if results and all(result.reason.startswith(NO_REFERENCE) for result in results):
        return f"the gold can't be judged: {results[0].reason}"
    if rewards.is_quick(prompt) or not any(result.value for result in results):
        return gold_faults(rewards, [prompt])[0]
    return None


def _fault_before(rewards: MixedReward, prompt: Prompt) -> str | None:
    """What can be said without judging an answer."""
    if names := rewards.odd_params(prompt):
        return f"its verifier knows no verifier_params {names}"
    # for a rule nothing at all may be right, as where no box is to be found
    return "the gold can't be judged: it is empty" if is_blank(prompt.gold) and not rewards.is_ruled(prompt) else None


def _right(prompt: Prompt) -> tuple[Prompt, str]:
    """The gold as somebody would answer it who answers in its frame."""
    gold, params, answer = prompt.gold, prompt.verifier_params, prompt.gold_text
    if frame := params.get("gold_frame"):
        prompt = replace(prompt, verifier_params=params | {"frame": frame})
    if prompt.verifier_type in _ANY_OF and isinstance(gold, list) and gold and isinstance(gold[0], str):
        answer = gold[0]  # of several that are right
    elif prompt.verifier_type == "points" and (boxes := read_boxes(gold)):
        answer = str([[(box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2] for box in boxes])
    return prompt, _tagged(answer)


def _tagged(answer: str) -> str:
    return f"<think>.</think><answer>{answer}</answer>"
