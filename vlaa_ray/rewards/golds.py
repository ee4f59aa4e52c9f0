"""Golds that no answer can be judged by: a number that is none, a box without an area, nothing at all.

gold_faults(rewards, [prompt]) == ["the gold can't be judged: gold names no single option letter: 'maybe'"]
"""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.records import Prompt
from vlaa_ray.rewards.mixture import MixedReward, is_blank

_ANY_OF = ("text", "ocr")


def gold_faults(rewards: MixedReward, prompts: Sequence[Prompt]) -> list[str | None]:
    """By prompt what is wrong with its gold; None where nothing is, or where no rule judges it.

    Every gold as its own answer must be worth something. And another answer beside it must be judged: equal texts are
    right even where the gold can't be read.
    """
    faults = [_fault_before(rewards, prompt) for prompt in prompts]
    ruled = [number for number, prompt in enumerate(prompts) if not faults[number] and rewards.is_ruled(prompt)]
    own = rewards.score([(prompts[number], _tagged(_right_answer(prompts[number]))) for number in ruled])
    other = rewards.score([(prompts[number], _tagged("0")) for number in ruled])
    for number, of_gold, of_other in zip(ruled, own, other, strict=True):
        unjudged = next((result.reason for result in (of_gold, of_other) if not result.valid), None)
        if unjudged is not None:
            faults[number] = f"the gold can't be judged: {unjudged}"
        elif of_gold.value == 0:
            faults[number] = f"the gold fails against itself: {of_gold.reason}"
    return faults


def _fault_before(rewards: MixedReward, prompt: Prompt) -> str | None:
    """What can be said without judging an answer."""
    if names := rewards.odd_params(prompt):
        return f"its verifier knows no verifier_params {names}"
    # for a rule nothing at all may be right, as where no box is to be found
    return "the gold can't be judged: it is empty" if is_blank(prompt.gold) and not rewards.is_ruled(prompt) else None


def _right_answer(prompt: Prompt) -> str:
    """The gold as somebody would answer it; of several texts that are right, the first."""
    gold = prompt.gold
    if prompt.verifier_type in _ANY_OF and isinstance(gold, list) and gold and isinstance(gold[0], str):
        return gold[0]
    return prompt.gold_text


def _tagged(answer: str) -> str:
    return f"<think>.</think><answer>{answer}</answer>"
