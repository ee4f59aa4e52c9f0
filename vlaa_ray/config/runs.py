"""The kinds of training, each one tree of sections, and the rules across sections."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from vlaa_ray.config.alarms import AlarmsSection
from vlaa_ray.config.base import Bundle, LearnsFrom, TrainingConfig, bundle, bundles_of
from vlaa_ray.config.benchmarks import BenchmarkSection
from vlaa_ray.config.engines import RolloutSection, SamplerSection
from vlaa_ray.config.evaluation import GrpoEvalSection
from vlaa_ray.config.grpo import GrpoSection
from vlaa_ray.config.placement import PlacementName, colocation_faults, cpus_in_turn, transport_faults
from vlaa_ray.config.rewards import RewardsSection, patience_fault
from vlaa_ray.config.sections import (
    RunSection,
    SamplesSection,
    WeightSyncSection,
)
from vlaa_ray.config.supervised import SftEvalSection, SftSection, SupervisedRunSection
from vlaa_ray.records import FORMAT, VERIFIER_TYPES

_MOST_ANSWERS = 10_000  # for a deadline where the number of held-out prompts is not in the config


class GrpoConfig(TrainingConfig):
    """A GRPO run: `vlaa-ray train --config FILE`."""

    command: ClassVar[str] = "train"
    learns_from: ClassVar[LearnsFrom] = "rewards"
    limits_key: ClassVar[str] = "rollout"
    run: RunSection
    """Name, seed, folder and steps of the run."""
    rollout: RolloutSection = RolloutSection()
    """Engines that sample completions, and how many they sample."""
    rewards: RewardsSection = RewardsSection()
    """How completions are judged, and by how many actors."""
    grpo: GrpoSection = GrpoSection()
    """The objective: advantages, loss, clipping and KL term."""
    weight_sync: WeightSyncSection = WeightSyncSection()
    """How new weights travel from the learner to the engines."""
    eval: GrpoEvalSection = GrpoEvalSection()
    """When and how the held-out records and the benchmarks are evaluated."""
    alarms: AlarmsSection = AlarmsSection()
    """When the run says that engine and learner give the same tokens different logprobs; it goes on nevertheless."""
    max_staleness: int = Field(0, ge=0)
    """Largest number of steps that rollouts may be behind the learner; 0 is the synchronous, on-policy run."""
    placement: PlacementName = "split"
    """Where engines and learner ranks run: each on CPUs or GPUs of its own (split), or on the same ones in turn
    (colocated): while one role works, the other keeps no memory on the GPU. On the CPU, the engines together and the
    ranks together have the CPUs of the role that asks for more, as threads."""

    @property
    def num_steps(self) -> int:
        """`run.num_steps`."""
        return self.run.num_steps

    @property
    def num_samples(self) -> int:
        """Steps times prompts times the group size."""
        return self.run.num_steps * self.rollout.prompts_per_step * self.rollout.group_size

    @property
    def colocated(self) -> bool:
        """True with `placement: colocated`."""
        return self.placement == "colocated"

    def in_turn(self) -> GrpoConfig:
        """Return the config with the CPUs that each process has while its role works; the same config if split."""
        if not self.colocated:
            return self
        rollout, learner = cpus_in_turn(self.rollout, self.learner)
        return self.model_copy(update={"rollout": rollout, "learner": learner})

    @property
    def limits(self) -> RolloutSection:
        """The section `rollout`."""
        return self.rollout

    @property
    def completions_per_row(self) -> int:
        """The group size: a row holds a prompt with its whole group."""
        return self.rollout.group_size

    @property
    def verifier_types(self) -> tuple[str, ...]:
        """The built-in types and those that `rewards.verifiers` adds."""
        return self.rewards.verifier_types()

    @property
    def judges_with(self) -> RewardsSection:
        """The section `rewards`."""
        return self.rewards

    @property
    def as_grpo(self) -> GrpoConfig:
        """The config itself."""
        return self

    @property
    def benchmarks(self) -> tuple[BenchmarkSection, ...]:
        """`eval.benchmarks`."""
        return self.eval.benchmarks

    @property
    def engines(self) -> RolloutSection:
        """The section `rollout`."""
        return self.rollout

    @property
    def samples_per_prompt(self) -> int:
        """The group size."""
        return self.rollout.group_size

    @property
    def requests_per_engine(self) -> int:
        """`rollout.max_num_seqs`: the engine has its own queue, which gives better batches."""
        return self.rollout.max_num_seqs

    @property
    def transport(self) -> Literal["shared_memory", "nccl"]:
        """`weight_sync.transport`."""
        return self.weight_sync.transport

    @property
    def copies_checkpoints(self) -> bool:
        """`checkpoint.beside_training`."""
        return self.checkpoint.beside_training

    @property
    def weight_sync_s(self) -> float:
        """`deadlines.weight_sync_s`."""
        return self.deadlines.weight_sync_s

    @property
    def bucket_bytes(self) -> int:
        """`weight_sync.bucket_bytes`."""
        return self.weight_sync.bucket_bytes

    @property
    def shared_bucket_bytes(self) -> int:
        """`weight_sync.bucket_bytes` with the transport "shared_memory"."""
        return self.bucket_bytes if self.weight_sync.transport == "shared_memory" else 0

    @property
    def metric_limits(self) -> dict[str, float]:
        """The limits of the section `alarms`."""
        return self.alarms.limits(self.model.dtype, stale=self.max_staleness > 0)

    @property
    def keeps_reference(self) -> bool:
        """True with a KL term."""
        return self.grpo.kl.coefficient > 0

    @property
    def corrects_engine(self) -> bool:
        """True if tokens get importance weights, learner over engine: rollouts may be stale, or rounded to bf16."""
        return self.max_staleness > 0 or self.model.dtype == "bf16"

    def bundles(self) -> dict[str, list[Bundle]]:
        """Return one bundle for each learner rank, each vLLM engine and each reward actor.

        Colocated ranks and engines each have the whole of what they share. Pools have their largest size.
        """
        working, rewards = self.in_turn(), self.rewards
        rollout, learner = working.rollout, working.learner
        return {
            "learner": [bundle(learner.cpus_per_rank, learner.gpus_per_rank)] * learner.num_ranks,
            "rollout": bundles_of(rollout.largest, rollout),
            "reward": bundles_of(rewards.largest, rewards),
        }

    @model_validator(mode="after")
    def _across(self) -> GrpoConfig:
        rollout, learner = self.rollout, self.learner
        groups, parts = rollout.prompts_per_step, learner.updates_per_step * learner.num_ranks
        problems = []
        if groups % parts:
            problems.append(
                f"rollout.prompts_per_step ({groups}) can't be divided evenly by learner.updates_per_step "
                f"({learner.updates_per_step}) x learner.num_ranks ({learner.num_ranks}) = {parts}"
            )
        if fault := self.micro_batch_fault(1, "one prompt and one completion"):
            problems.append(fault)
        problems += transport_faults(rollout, learner, self.weight_sync.transport)
        if self.colocated:
            transport = self.weight_sync.transport
            problems += colocation_faults(rollout, learner, max_staleness=self.max_staleness, transport=transport)
        if fault := patience_fault(self.rewards, self.deadlines.reward_s):
            problems.append(fault)
        known = set(self.rewards.verifier_types())
        named = {
            "data.verifier_types": self.data.verifier_types or (),
            "rewards.verifiers": self.rewards.verifiers,
            **{f"rewards.verifiers.{name}.weights": part.weights for name, part in self.rewards.verifiers.items()},
        }
        for key, names in named.items():
            if unknown := sorted(set(names) - known - ({FORMAT} if key.endswith("weights") else set())):
                problems.append(
                    f"{key}: unknown verifier types {unknown}; known: {', '.join(sorted(known))}, and your own with "
                    "rewards.verifiers.NAME.function"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class SupervisedConfig(TrainingConfig):
    """The common part of the configs of training on written answers."""

    run: SupervisedRunSection
    """Name, seed, folder and length of the run."""

    @property
    def num_steps(self) -> int | None:
        """`run.num_steps`."""
        return self.run.num_steps

    @property
    def num_epochs(self) -> float | None:
        """`run.num_epochs`."""
        return self.run.num_epochs

    def steps_for(self, num_samples: int) -> int:
        """Return the number of training steps of the whole run over data of this size."""
        if self.run.num_steps is not None:
            return self.run.num_steps
        assert self.run.num_epochs is not None  # the section has one of them
        return max(1, math.ceil(round(self.run.num_epochs * num_samples / self.limits.samples_per_step, 9)))

    @property
    def samples_heldout(self) -> bool:
        """True if answers to held-out prompts are sampled and scored at evaluations."""
        return False

    @property
    def heldout_deadline_s(self) -> float:
        """The seconds that the sampling and scoring of all held-out answers may take; 0 where none are sampled."""
        return 0.0

    @property
    def num_samples(self) -> int:
        """Steps times samples; 0 for a run whose length is given in epochs, which only the data tell."""
        return (self.run.num_steps or 0) * self.limits.samples_per_step

    @property
    @abstractmethod
    def limits(self) -> SamplesSection:
        """The section of this kind of run."""


class SftConfig(SupervisedConfig):
    """A supervised run: `vlaa-ray sft --config FILE`."""

    command: ClassVar[str] = "sft"
    learns_from: ClassVar[LearnsFrom] = "solutions"
    limits_key: ClassVar[str] = "sft"
    sft: SftSection = SftSection()
    """Size, limits and early end of the supervised samples."""
    eval: SftEvalSection = SftEvalSection()
    """When and how the held-out records are evaluated."""
    rollout: SamplerSection = SamplerSection()
    """Engines that sample held-out answers, with `eval.rewards`."""
    rewards: RewardsSection = RewardsSection()
    """How held-out answers are judged, and by how many actors, with `eval.rewards`."""

    @property
    def samples_heldout(self) -> bool:
        """`eval.rewards`."""
        return self.eval.rewards

    @property
    def heldout_deadline_s(self) -> float:
        """The deadlines of a start, of a weight sync, and of the turns in which answers are sampled and scored."""
        deadlines, count = self.deadlines, self.eval.num_prompts or _MOST_ANSWERS
        num_sampled = math.ceil(count / (self.rollout.smallest * self.rollout.max_num_seqs))
        num_scored = math.ceil(count / self.rewards.smallest)
        turns_s = num_sampled * deadlines.rollout_s + num_scored * deadlines.reward_s
        return deadlines.start_s + deadlines.weight_sync_s + turns_s

    @property
    def verifier_types(self) -> tuple[str, ...]:
        """The built-in types; with `eval.rewards` also those that `rewards.verifiers` adds."""
        return self.rewards.verifier_types() if self.samples_heldout else VERIFIER_TYPES

    @property
    def judges_with(self) -> RewardsSection | None:
        """The section `rewards` with `eval.rewards`."""
        return self.rewards if self.samples_heldout else None

    @property
    def engines(self) -> SamplerSection | None:
        """The section `rollout` with `eval.rewards`."""
        return self.rollout if self.samples_heldout else None

    @property
    def samples_per_prompt(self) -> int:
        """1: a held-out prompt has one answer."""
        return 1

    @property
    def requests_per_engine(self) -> int:
        """`rollout.max_num_seqs`: the engine has its own queue, which gives better batches."""
        return self.rollout.max_num_seqs

    @property
    def transport(self) -> Literal["shared_memory", "nccl"]:
        """Shared memory: the weights come from a file."""
        return "shared_memory"

    @property
    def weight_sync_s(self) -> float:
        """`deadlines.weight_sync_s`."""
        return self.deadlines.weight_sync_s

    @property
    def bucket_bytes(self) -> int:
        """The default size of a bucket with `eval.rewards`."""
        return WeightSyncSection().bucket_bytes if self.samples_heldout else 0

    @property
    def shared_bucket_bytes(self) -> int:
        """`bucket_bytes`: the buckets go through shared memory."""
        return self.bucket_bytes

    def bundles(self) -> dict[str, list[Bundle]]:
        """Return one bundle for each learner rank and, with `eval.rewards`, for each engine and reward actor."""
        bundles = super().bundles()
        if not self.samples_heldout:
            return bundles
        rollout, rewards = self.rollout, self.rewards
        return {
            **bundles,
            "rollout": bundles_of(rollout.first, rollout),
            "reward": bundles_of(rewards.first, rewards),
        }

    @property
    def stops_early(self) -> dict[str, float] | None:
        """`sft.early_stopping`."""
        return self.sft.early_stopping.model_dump() if self.sft.early_stopping else None

    @property
    def limits(self) -> SftSection:
        """The section `sft`."""
        return self.sft

    @property
    def completions_per_row(self) -> int:
        """1: the worked answer."""
        return 1

    @model_validator(mode="after")
    def _whole_samples(self) -> SftConfig:
        if fault := self.micro_batch_fault(1, "a prompt and its answer"):
            raise ValueError(fault)
        if self.samples_heldout and (fault := patience_fault(self.rewards, self.deadlines.reward_s)):
            raise ValueError(fault)
        return self


class RewardModelSection(SamplesSection):
    """Size, limits and loss of the pairs of answers."""

    center_coefficient: float = Field(0.01, ge=0)
    """Weight of the term that keeps scores around 0."""
    sft_coefficient: float = Field(0.01, ge=0)
    """Weight of the loss term that learns the best answer itself; it makes reward models generalise."""


class RewardModelConfig(SupervisedConfig):
    """A reward model's training on pairs of answers: `vlaa-ray reward-model --config FILE`."""

    command: ClassVar[str] = "reward-model"
    learns_from: ClassVar[LearnsFrom] = "preferences"
    limits_key: ClassVar[str] = "reward_model"
    reward_model: RewardModelSection = RewardModelSection()
    """Size, limits and loss of the pairs of answers."""

    @property
    def limits(self) -> RewardModelSection:
        """The section `reward_model`."""
        return self.reward_model

    @property
    def completions_per_row(self) -> int:
        """2: the better and the worse answer."""
        return 2

    @model_validator(mode="after")
    def _whole_pairs(self) -> RewardModelConfig:
        if not (isinstance(self.data.train, str) and isinstance(self.data.heldout, str)):
            raise ValueError("data.train and data.heldout of a reward model must be one file each, not lists")
        if fault := self.micro_batch_fault(2, "a prompt and two answers"):
            raise ValueError(fault)
        return self
