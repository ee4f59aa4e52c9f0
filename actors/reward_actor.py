"""The verifiers as a Ray actor, over processes that can be killed."""

from __future__ import annotations

from actors.processes import settle_in, tree_rss_bytes
from vlaa_ray.config import RunConfig
from vlaa_ray.records import Completion, Prompt, RewardResult


class RewardActor:
    """Scores one group at a time."""

    def __init__(self, config: RunConfig, log_file: str, shm_prefix: str) -> None:
        settle_in(log_file, shm_prefix)
        from vlaa_ray.rewards import Sandbox

        self._sandbox = Sandbox(config.rewards.timeout_s, config.rewards.memory_limit_bytes)

    def start(self) -> None:
        """Returns when the verifiers are ready."""
        self._sandbox.score_batch([("<answer>1</answer>", "1", "math", {})])

    def score(self, prompt: Prompt, completions: list[Completion]) -> tuple[list[RewardResult], float]:
        """(one result a completion, seconds that it took)."""
        import time

        start = time.monotonic()
        items = [
            (completion.text, prompt.gold, prompt.verifier_type, prompt.verifier_params) for completion in completions
        ]
        results = self._sandbox.score_batch(items)
        return results, time.monotonic() - start

    def rss_bytes(self) -> int:
        return tree_rss_bytes()
