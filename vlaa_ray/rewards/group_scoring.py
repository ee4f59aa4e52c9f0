"""The rewards of one group: all responses to one prompt, whose gold is checked too."""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.gold_checks import gold_fault_from_results, static_gold_fault
from vlaa_ray.rewards.manager import RewardManager


def score_group(
    rewards: RewardManager, prompt: Prompt, responses: Sequence[str], progress: float
) -> list[RewardResult]:
    """Return one result for each response to the prompt; `progress` is the share of the run's steps done, in [0, 1].

    Raises DataError if no answer can be judged by the prompt's gold: then the prompt has a fault, not the responses.
    """
    if fault := static_gold_fault(rewards, prompt):
        raise DataError(fault, prompt_id=prompt.prompt_id)
    results = rewards.score([(prompt, response) for response in responses], progress)
    if fault := gold_fault_from_results(rewards, prompt, results):
        raise DataError(fault, prompt_id=prompt.prompt_id)
    return results
