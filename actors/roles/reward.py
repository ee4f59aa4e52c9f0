"""The verifiers as a Ray actor, over processes that can be killed."""

from __future__ import annotations

import time

from actors.process.set_up import set_up_actor_process, tree_rss_bytes
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt, RewardResult


class RewardActor:
    """Scores groups, on as many threads as it is given."""

    def __init__(self, config: GrpoConfig, log_file: str, shm_prefix: str) -> None:
        set_up_actor_process(log_file, shm_prefix)
        from vlaa_ray.rewards.manager import RewardManager

        self._rewards = RewardManager(config.rewards)

    def start(self) -> None:
        """Returns when the verifiers are ready."""
        prompt = Prompt(prompt_id="start", question="", gold="1", verifier_type="math", source="")
        self._rewards.score([(prompt, "<answer>1</answer>")])

    def score(self, prompt: Prompt, responses: list[str], progress: float) -> tuple[list[RewardResult], float]:
        """(one result a response, seconds that it took); DataError if the prompt's gold is not to be judged by."""
        from vlaa_ray.rewards.gold_checks import gold_fault_from_results, static_gold_fault

        start = time.monotonic()
        if fault := static_gold_fault(self._rewards, prompt):
            raise DataError(fault, prompt_id=prompt.prompt_id)
        results = self._rewards.score([(prompt, response) for response in responses], progress)
        if fault := gold_fault_from_results(self._rewards, prompt, results):
            raise DataError(fault, prompt_id=prompt.prompt_id)
        return results, time.monotonic() - start

    def offload(self) -> None:
        self._rewards.offload()

    def rss_bytes(self) -> int:
        return tree_rss_bytes()
