"""What the step loop asks of the roles, and of the run around it. `actors` implements the roles over Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from vlaa_ray.records import Completion, Group, OptimizerStep, Prompt, RewardResult, SampledGroup

Metrics = dict[str, float]
Result = TypeVar("Result")
Phase = Literal["start", "rollout", "reward", "learn", "weight sync", "eval", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """How one prompt is sampled; sample i of the request is seeded with `seed` + i."""

    prompt: Prompt
    num_samples: int
    seed: int
    temperature: float
    max_completion_tokens: int


class RolloutRole(Protocol):
    """The engines that sample."""

    async def sample(self, request: SampleRequest) -> SampledGroup:
        """The prompt's completions; DataError if this prompt can't be sampled."""

    async def metrics(self) -> Metrics:
        """Restarts so far, and memory in bytes."""


class RewardRole(Protocol):
    """The verifiers and scorers."""

    async def score(self, prompt: Prompt, completions: Sequence[Completion], progress: float) -> list[RewardResult]:
        """One result for each completion; one that can't be judged is invalid, never missing.

        `progress` is the share of the run's steps, in [0, 1], that were done when the prompt was sampled. DataError if
        no answer can be judged by the prompt's gold.
        """

    async def offload(self) -> None:
        """Give GPU memory back until the next completions come."""

    async def metrics(self) -> Metrics:
        """Restarts so far, memory in bytes, and seconds that scoring took since the last call."""


class LearnerRole(Protocol):
    """The policy in training."""

    @property
    def weight_version(self) -> int:
        """Optimizer steps done."""

    async def update(self, shares: list[list[OptimizerStep]]) -> Metrics:
        """Do one training step; `shares` are [rank][optimizer step]. Returns the step's metrics over all ranks."""

    async def save(self, folder: Path) -> None:
        """Write all that `load` needs below `folder`, and the model in `hf/`; CheckpointError if the disk refuses."""

    async def load(self, folder: Path) -> None:
        """Restore weights, optimizer and weight version; CheckpointError if the files don't fit the model."""

    async def metrics(self) -> Metrics:
        """Memory in bytes."""


class WeightSyncRole(Protocol):
    """The way of the weights from the learner to the engines."""

    async def publish(self) -> None:
        """Put the learner's weights into every engine, proven complete; caches that older weights filled are cleared.

        Engines that are lost on the way are replaced as the pool allows.
        """


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The four roles of a GRPO run."""

    rollouts: RolloutRole
    rewards: RewardRole
    learner: LearnerRole
    weight_sync: WeightSyncRole


class Run(Protocol):
    """What a step loop needs of the run around it: a checkpoint to start from, a place to report to, a way to stop."""

    @property
    def resume_state(self) -> dict[str, Any] | None:
        """What `commit_checkpoint` was given when the checkpoint was made; None at the start of a run."""

    @property
    def resume_folder(self) -> Path | None:
        """The checkpoint's folder; None at the start of a run."""

    def phase(self, name: Phase) -> None:
        """Show what the run does from now on."""

    def log(self, step: int, metrics: Metrics, groups: Sequence[Group] = ()) -> None:
        """Write the metrics of a finished step, and some of its rollouts for people to read."""

    def alarm(self, message: str) -> None:
        """Tell people that something went wrong which does not end the run."""

    def begin_checkpoint(self, step: int) -> Path:
        """An empty folder for the files of the checkpoint."""

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Seal the checkpoint; `state` comes back as `resume_state`."""

    async def stoppable(self, waiting: Awaitable[Result]) -> Result:
        """The result; RunInterrupted as soon as the run is asked to stop."""


def request_seed(run_seed: int, step: int, prompt_id: str) -> int:
    """A seed below 2^31 from the run's seed, the step that asks and the prompt; sample i adds i."""
    digest = hashlib.blake2b(f"{run_seed}/{step}/{prompt_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (1 << 31)
