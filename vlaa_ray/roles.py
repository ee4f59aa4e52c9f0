"""The interfaces of the roles and of the run, as the step loop uses them. `actors` implements the roles over Ray."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.records import Completion, Group, OptimizerStep, Prompt, RewardResult, SampledGroup

Metrics = dict[str, float]
Result = TypeVar("Result")
Phase = Literal["start", "rollout", "reward", "learn", "weight sync", "eval", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """A request to sample one prompt; sample i of the request is seeded with `seed` + i."""

    prompt: Prompt
    num_samples: int
    seed: int
    temperature: float
    max_completion_tokens: int
    top_p: float = 1.0


class RolloutRole(Protocol):
    """The engines that sample."""

    async def sample(self, request: SampleRequest) -> SampledGroup:
        """Return the prompt's completions.

        Raises:
            DataError: this prompt can't be sampled.
            RolloutFleetExhausted: no engine is left.

        """

    async def metrics(self) -> Metrics:
        """Return the number of restarts so far, and the memory in bytes."""


class RewardRole(Protocol):
    """The verifiers and scorers."""

    async def score(self, prompt: Prompt, completions: Sequence[Completion], progress: float) -> list[RewardResult]:
        """Return one result for each completion; a completion that can't be judged has an invalid result.

        `progress` is the share of the run's steps, in [0, 1], that were done when the prompt was sampled.

        Raises:
            DataError: no answer can be judged by the prompt's gold.
            RewardError: scoring failed, or no reward actor is left.

        """

    async def offload(self) -> None:
        """Free GPU memory until the next completions come."""

    async def metrics(self) -> Metrics:
        """Return the number of restarts so far, the memory in bytes, and the seconds of scoring since the last call."""


class LearnerRole(Protocol):
    """The policy in training."""

    @property
    def weight_version(self) -> int:
        """The number of optimizer steps done."""

    async def accumulate(self, shares: list[list[Group]]) -> None:
        """Add the gradient of groups with advantages to the next training step; `shares` are [rank][group].

        The next training step must have one optimizer step.

        Raises:
            LearnerError: a rank was lost.

        """

    async def update(self, shares: list[list[OptimizerStep]]) -> Metrics:
        """Do one training step and return its metrics over all ranks; `shares` are [rank][optimizer step].

        The groups that were accumulated before are part of its first optimizer step.

        Raises:
            LearnerError: the loss is not finite, or a rank was lost.

        """

    async def save(self, folder: Path) -> None:
        """Begin to write everything that `load` needs below `folder`, and the model in `hf/`; see `written`.

        What is written is the state of now, whatever is learned meanwhile.

        Raises:
            CheckpointError: a file can't be written.

        """

    async def written(self) -> None:
        """Return when all files of the last `save` are written.

        Raises:
            CheckpointError: a file can't be written, or a rank was lost on the way.

        """

    async def load(self, folder: Path) -> None:
        """Restore weights, optimizer and weight version.

        Raises:
            CheckpointError: a file is missing or does not fit.

        """

    async def metrics(self) -> Metrics:
        """Return the memory in bytes."""


class WeightSyncRole(Protocol):
    """The transport of the weights from the learner to the engines."""

    async def publish(self) -> None:
        """Put the learner's weights into every engine, check that they are complete, and clear the engines' caches.

        Engines that are lost meanwhile are replaced if the pool still may.

        Raises:
            ModelError: the learner and an engine don't have the same tensors.
            LearnerError: a rank was lost.
            RolloutFleetExhausted: no engine is left.

        """


class FleetRole(Protocol):
    """The number of engines and reward actors, which may follow the load."""

    def adapt(self, *, wait_share: float, groups_waiting: int) -> Metrics:
        """Ask for more or fewer actors after a step, and return the load that decides.

        `wait_share` is the share of the step in which the learner waited for groups. `groups_waiting` is the number of
        finished groups of later steps.
        """


class FixedFleet:
    """A fleet whose size stays as it is, as a `FleetRole`."""

    def adapt(self, *, wait_share: float, groups_waiting: int) -> Metrics:
        """See `FleetRole`."""
        return {}


class SamplingRoles(Protocol):
    """The two roles that sample and score."""

    @property
    def rollouts(self) -> RolloutRole:
        """The engines that sample."""

    @property
    def rewards(self) -> RewardRole:
        """The verifiers and scorers."""


class HeldOutRewards(Protocol):
    """The sampling and scoring of held-out answers in a run that trains on written answers."""

    def begin(self, step: int) -> None:
        """Begin with the model that was written to the run folder after this step."""

    def result(self, timeout_s: float) -> Metrics | None:
        """Return the `eval/reward/…` metrics; None if they are not there after this time.

        Raises:
            DeadlineExceeded: they are overdue.
            RolloutFleetExhausted, RewardError: no engine or no reward actor is left.

        """


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The four roles of a GRPO run, and what sets the sizes of their pools."""

    rollouts: RolloutRole
    rewards: RewardRole
    learner: LearnerRole
    weight_sync: WeightSyncRole
    fleet: FleetRole = field(default_factory=FixedFleet)


class Run(Protocol):
    """The run around a step loop: it gives a checkpoint to start from, takes reports, and can ask to stop."""

    @property
    def resume_state(self) -> dict[str, Any] | None:
        """The state that was given to `commit_checkpoint` for the checkpoint to resume from; None for a new run."""

    @property
    def resume_folder(self) -> Path | None:
        """The folder of the checkpoint to resume from; None for a new run."""

    @property
    def checkpoint_request(self) -> asyncio.Event:
        """An event that asks for a checkpoint at once; the one that saves clears it."""

    def phase(self, name: Phase) -> None:
        """Show the phase that the run is in from now on."""

    def log(self, step: int, metrics: Metrics, groups: Sequence[Group] = ()) -> None:
        """Write the metrics of a finished step, and some of its rollouts for people to read."""

    def study(self, groups: Sequence[Group]) -> Metrics:
        """Return metrics of how the step's completions are worded."""

    def alarm(self, message: str) -> None:
        """Report a problem that does not end the run."""

    def end(self, error: VlaaRayError) -> None:
        """End the run with this error after its phase; the finished steps are saved first if they can be."""

    def begin_checkpoint(self, step: int) -> Path:
        """Return an empty folder for the files of the checkpoint."""

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Finish the checkpoint; a run that resumes from it gets `state` as `resume_state`.

        It is called in a thread of its own, so that the next steps go on meanwhile.

        Raises:
            CheckpointError: a file can't be written.

        """

    async def stoppable(self, waiting: Awaitable[Result]) -> Result:
        """Wait for a result and return it.

        Raises:
            RunInterrupted: the run was asked to stop meanwhile.

        """


def request_seed(run_seed: int, step: int, prompt_id: str) -> int:
    """Return a seed below 2^31 that depends on the run's seed, the step and the prompt; sample i adds i."""
    digest = hashlib.blake2b(f"{run_seed}/{step}/{prompt_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (1 << 31)
