"""The Ray actor with the verifiers and scorers."""

from __future__ import annotations

import threading
import time

from actors.process.ray_metrics import export_health, service_health
from actors.process.set_up import set_up_actor_process, tree_rss_bytes
from vlaa_ray.config import FleetConfig
from vlaa_ray.records import Prompt, RewardResult


class RewardActor:
    """The verifiers and scorers of one process; several groups are scored at the same time in threads."""

    def __init__(self, config: FleetConfig, log_file: str, shm_prefix: str) -> None:
        set_up_actor_process(log_file, shm_prefix)
        self._config, self._run = config, config.run.name

    def start(self) -> None:
        """Load the verifiers and scorers, and return when they are ready."""
        from vlaa_ray.models.input_sizes import input_sizes_of
        from vlaa_ray.rewards.manager import RewardManager

        self._rewards = RewardManager(self._config.rewards, input_sizes_of(self._config.model))
        prompt = Prompt(prompt_id="start", question="", gold="1", verifier_type="math", source="")
        self._rewards.score([(prompt, "<answer>1</answer>")])
        export_health(self._run, [service_health])  # it ends with the process

    def score(self, prompt: Prompt, responses: list[str], progress: float) -> tuple[list[RewardResult], float]:
        """Return (one result for each response, the seconds of scoring); errors as for `score_group`."""
        from vlaa_ray.rewards.group_scoring import score_group

        start = time.monotonic()
        results = score_group(self._rewards, prompt, responses, progress)
        return results, time.monotonic() - start

    def offload(self) -> None:
        """Move reward models to the CPU until the next completions come."""
        self._rewards.offload()

    def node_id(self) -> str:
        """Return Ray's id of the node on which this actor runs."""
        import ray

        return ray.get_runtime_context().get_node_id()

    def stay(self) -> None:
        """Never return: this call fails when the actor ends."""
        threading.Event().wait()

    def rss_bytes(self) -> int:
        """Return the resident memory of this process and its children, in bytes."""
        return tree_rss_bytes()
