"""Golds that no answer can be judged by: a number that is none, a box without an area, nothing at all.

gold_faults(rewards, [prompt]) == ["the gold can't be judged: gold names no single option letter: 'maybe'"]
"""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.records import Prompt
from vlaa_ray.rewards.mixture import MixedReward


def gold_faults(rewards: MixedReward, prompts: Sequence[Prompt]) -> list[str | None]:
    """By prompt what is wrong with its gold; None where nothing is, or where no rule judges it.

    Every gold as its own answer must be worth something. And another answer beside it must be judged: equal texts are
    right even where the gold can't be read.
    """
    ruled = [number for number, prompt in enumerate(prompts) if rewards.is_ruled(prompt)]
    own = rewards.score([(prompts[number], _tagged(prompts[number].gold_text)) for number in ruled])
    other = rewards.score([(prompts[number], _tagged("0")) for number in ruled])
    faults: list[str | None] = [None] * len(prompts)
    for number, of_gold, of_other in zip(ruled, own, other, strict=True):
        unjudged = next((result.reason for result in (of_gold, of_other) if not result.valid), None)
        if unjudged is not None:
            faults[number] = f"the gold can't be judged: {unjudged}"
        elif of_gold.value == 0:
            faults[number] = f"the gold fails against itself: {of_gold.reason}"
    return faults


def _tagged(answer: str) -> str:
    return f"<think>.</think><answer>{answer}</answer>"
