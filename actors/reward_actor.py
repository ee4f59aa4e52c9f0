"""The verifiers as a Ray actor, over processes that can be killed."""

from __future__ import annotations

import time

from actors.processes import settle_in, tree_rss_bytes
from vlaa_ray.config import RunConfig
from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt, RewardResult


class RewardActor:
    """Scores groups, on as many threads as it is given."""

    def __init__(self, config: RunConfig, log_file: str, shm_prefix: str) -> None:
        settle_in(log_file, shm_prefix)
        from vlaa_ray.rewards.mixture import MixedReward

        self._rewards = MixedReward(config.rewards)

    def start(self) -> None:
        """Returns when the verifiers are ready."""
        prompt = Prompt(prompt_id="start", question="", gold="1", verifier_type="math", source="")
        self._rewards.score([(prompt, "<answer>1</answer>")])

    def score(self, prompt: Prompt, responses: list[str], progress: float) -> tuple[list[RewardResult], float]:
        """(one result a response, seconds that it took); DataError if the prompt's gold is not to be judged by."""
        from vlaa_ray.rewards.golds import fault_after, fault_before

        start = time.monotonic()
        if fault := fault_before(self._rewards, prompt):
            raise DataError(fault, prompt_id=prompt.prompt_id)
        results = self._rewards.score([(prompt, response) for response in responses], progress)
        if fault := fault_after(self._rewards, prompt, results):
            raise DataError(fault, prompt_id=prompt.prompt_id)
        return results, time.monotonic() - start

    def park(self) -> None:
        self._rewards.park()

    def rss_bytes(self) -> int:
        return tree_rss_bytes()
