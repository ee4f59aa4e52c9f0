"""What the step loop asks of the roles. `actors` implements these over Ray; tests may in one process."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from vlaa_ray.records import Completion, Group, OptimizerStep, Prompt, RewardResult, SampledGroup


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """How one prompt is sampled; sample i of the request is seeded with `seed` + i."""

    prompt: Prompt
    num_samples: int
    seed: int
    temperature: float
    max_completion_tokens: int


class RolloutRole(Protocol):
    async def sample(self, request: SampleRequest) -> SampledGroup:
        """The prompt's completions; DataError if this prompt can't be sampled."""

    async def load_weights(self, learner: LearnerRole) -> None:
        """Put the learner's weights into every engine, proven complete, and clear what older weights left in caches."""

    async def metrics(self) -> dict[str, float]:
        """Restarts and memory."""


class RewardRole(Protocol):
    async def score(self, prompt: Prompt, completions: Sequence[Completion], progress: float) -> list[RewardResult]:
        """One result a completion; one that can't be judged is invalid, never missing.

        `progress` is the share of the run's steps that were done when the prompt was asked.
        """

    async def offload(self) -> None:
        """Give GPU memory back until the next completions come."""

    async def metrics(self) -> dict[str, float]:
        """Restarts and memory."""


class LearnerRole(Protocol):
    @property
    def weight_version(self) -> int:
        """Optimizer steps done."""

    async def update(self, shares: list[list[OptimizerStep]]) -> dict[str, float]:
        """Do one training step: `shares` are [rank][optimizer step]."""

    async def save(self, folder: Path) -> None: ...

    async def load(self, folder: Path) -> None: ...

    async def metrics(self) -> dict[str, float]:
        """Memory."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    rollouts: RolloutRole
    rewards: RewardRole
    learner: LearnerRole


def request_seed(run_seed: int, step: int, prompt_id: str) -> int:
    """A seed below 2^31 from the run's seed, the step that asks and the prompt; sample i adds i."""
    digest = hashlib.blake2b(f"{run_seed}/{step}/{prompt_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (1 << 31)


Metrics = dict[str, float]
Row = dict[str, Any]


Phase = Literal["start", "rollout", "reward", "learn", "weight sync", "eval", "checkpoint"]


Result = TypeVar("Result")


class Run(Protocol):
    """What the loop needs of the run around it: a checkpoint to start from, a place to report to, a way to stop."""

    resume_state: dict[str, Any] | None
    """What `save` was given when the checkpoint was made; None at the start of a run."""
    resume_folder: Path | None

    def phase(self, name: Phase) -> None: ...

    def log(self, step: int, metrics: Metrics, groups: Sequence[Group]) -> None: ...

    def alarm(self, message: str) -> None:
        """Tell people of something that went wrong and didn't end the run."""

    def begin_checkpoint(self, step: int) -> Path: ...

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> None: ...

    async def stoppable(self, waiting: Awaitable[Result]) -> Result:
        """The result; RunInterrupted as soon as the run is asked to stop."""
