"""The common part of the configs of all kinds of runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import model_validator

from vlaa_ray.config.benchmarks import BenchmarkSection
from vlaa_ray.config.engines import RolloutSection, SamplerSection
from vlaa_ray.config.learner import LearnerSection
from vlaa_ray.config.rewards import RewardsSection
from vlaa_ray.config.sections import (
    CheckpointSection,
    DataSection,
    DeadlinesSection,
    EvalSection,
    ModelSection,
    NamedSection,
    RaySection,
    SamplesSection,
    SamplingDeadlinesSection,
    Section,
    TrackingSection,
)
from vlaa_ray.records import VERIFIER_TYPES

if TYPE_CHECKING:
    from vlaa_ray.config.runs import GrpoConfig

Bundle = dict[str, float]
"""The Ray resources of one process, such as {"CPU": 1, "GPU": 1}."""
LearnsFrom = Literal["rewards", "solutions", "preferences"]


def bundle(cpus: float, gpus: float) -> Bundle:
    """Return {"CPU": cpus, "GPU": gpus}; without GPUs the entry "GPU" is left out."""
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}


def bundles_of(num_actors: int, section: SamplerSection | RewardsSection) -> list[Bundle]:
    """Return the bundles of `num_actors` actors with the CPUs and GPUs of their section."""
    return [bundle(section.cpus_per_actor, section.gpus_per_actor)] * num_actors


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def bf16_on_gpus(values: Mapping[str, Any], *with_gpus: tuple[str, str]) -> Mapping[str, Any]:
    """Return the values of a config with `model.dtype` set to bf16 where it is left out and one of the keys has GPUs.

    A key is (section, key). Values without a section `model` stay as they are.
    """
    model = values.get("model")
    if not isinstance(model, Mapping) or "dtype" in model:
        return values
    sections = [(values.get(section), key) for section, key in with_gpus]
    if any(isinstance(section, Mapping) and _is_positive(section.get(key)) for section, key in sections):
        return {**values, "model": {**model, "dtype": "bf16"}}
    return values


class AnyConfig(Section, ABC):
    """The sections that every kind of run has, and the facts that the rest of the code asks for."""

    command: ClassVar[str]
    """The `vlaa-ray` command that takes a config of this kind."""
    run: NamedSection
    """Name, seed and folder of the run."""
    ray: RaySection = RaySection()
    """The Ray cluster that the run starts or joins."""

    @property
    def has_steps(self) -> bool:
        """True for a run of training steps and checkpoints."""
        return False

    @property
    def as_training(self) -> TrainingConfig | None:
        """The config if the run trains, else None."""
        return None

    @property
    def as_grpo(self) -> GrpoConfig | None:
        """The config if the run is one of GRPO, else None."""
        return None

    @property
    def trained_model(self) -> ModelSection | None:
        """The section of the model that is trained; None for a run that trains none."""
        return None

    @property
    def num_steps(self) -> int | None:
        """The number of training steps of the whole run; None where `num_epochs` says it, and for a run without."""
        return None

    @property
    def num_epochs(self) -> float | None:
        """The number of passes over the training data, where the config gives it in place of the steps."""
        return None

    @property
    def stops_early(self) -> dict[str, float] | None:
        """The settings by which the run may end before its last step; None if it may not."""
        return None

    @property
    def num_checkpoints_kept(self) -> int:
        """The number of checkpoints that the run folder keeps."""
        return 0

    @property
    def num_samples(self) -> int:
        """The number of completions that the whole run trains on."""
        return 0

    @property
    def max_tokens(self) -> int:
        """The most completion tokens that these samples can have."""
        return 0

    @property
    def later_gpus(self) -> int:
        """The GPUs of processes that the run starts when those of `bundles` have ended."""
        return 0

    @property
    def colocated(self) -> bool:
        """True if engines and learner ranks take turns on the same devices."""
        return False

    @abstractmethod
    def bundles(self) -> dict[str, list[Bundle]]:
        """Return the Ray resources of each process by role, such as {"learner": [{"CPU": 1, "GPU": 1}]}.

        One bundle never spans two nodes.
        """


class FleetConfig(Protocol):
    """The facts about a run that its rollout actors and reward actors ask for, whatever else the run does."""

    @property
    def run(self) -> NamedSection:
        """Name, seed and folder of the run."""

    @property
    def model(self) -> ModelSection:
        """The model that the engines load, and how images reach it."""

    @property
    def rollout(self) -> SamplerSection:
        """The engines and their limits."""

    @property
    def rewards(self) -> RewardsSection:
        """How completions are judged, and by how many actors."""

    @property
    def deadlines(self) -> SamplingDeadlinesSection:
        """The longest time that each part may take."""

    @property
    def colocated(self) -> bool:
        """True if engines and learner ranks take turns on the same devices."""

    @property
    def samples_per_prompt(self) -> int:
        """The number of completions of one request."""

    @property
    def requests_per_engine(self) -> int:
        """The largest number of requests that an engine gets at the same time."""

    @property
    def transport(self) -> Literal["shared_memory", "nccl"]:
        """The transport of new weights into the engines."""

    @property
    def weight_sync_s(self) -> float:
        """The seconds that new weights may take to reach an engine."""

    @property
    def bucket_bytes(self) -> int:
        """The bytes of one bucket of new weights; 0 for a run that sends no weights."""


class TrainingConfig(AnyConfig):
    """The sections that every kind of training has."""

    learns_from: ClassVar[LearnsFrom]
    """The content that the records must have: prompts whose answers can be judged (rewards), prompts with a worked
    answer (solutions), or compared answers (preferences)."""
    limits_key: ClassVar[str]
    """The name of the section `limits` in the config file."""
    model: ModelSection
    """The model that is trained, and how images reach it."""
    data: DataSection = DataSection()
    """The records to train on and the held-out records."""
    learner: LearnerSection = LearnerSection()
    """Ranks, memory and optimizer of the learner."""
    checkpoint: CheckpointSection = CheckpointSection()
    """When checkpoints are written, and how many are kept."""
    eval: EvalSection = EvalSection()
    """When and how the held-out records are evaluated."""
    deadlines: DeadlinesSection = DeadlinesSection()
    """The longest time that each part of a step may take."""
    tracking: TrackingSection = TrackingSection()
    """Where metrics and rollouts are written."""

    @model_validator(mode="before")
    @classmethod
    def _dtype_of_gpus(cls, values: Any) -> Any:
        """Set a `model.dtype` that is left out to bf16 where the learner or the engines have GPUs."""
        if not isinstance(values, Mapping):
            return values
        return bf16_on_gpus(values, ("learner", "gpus_per_rank"), ("rollout", "gpus_per_actor"))

    @property
    def has_steps(self) -> bool:
        """True: every training has."""
        return True

    @property
    def as_training(self) -> TrainingConfig:
        """The config itself."""
        return self

    @property
    def trained_model(self) -> ModelSection:
        """The section `model`."""
        return self.model

    @property
    def benchmarks(self) -> tuple[BenchmarkSection, ...]:
        """The benchmarks that are asked at evaluations."""
        return ()

    @property
    def num_checkpoints_kept(self) -> int:
        """`checkpoint.keep`."""
        return self.checkpoint.keep

    @property
    def copies_checkpoints(self) -> bool:
        """True if checkpoints are written from copies in RAM."""
        return False

    @property
    def max_tokens(self) -> int:
        """The number of samples times the token limit of a completion."""
        return self.num_samples * self.limits.max_completion_tokens

    @property
    @abstractmethod
    def limits(self) -> RolloutSection | SamplesSection:
        """The section with `max_prompt_tokens` and `max_completion_tokens`."""

    @property
    @abstractmethod
    def completions_per_row(self) -> int:
        """The largest number of completions that one row of the learner holds beside its prompt."""

    def micro_batch_fault(self, num_completions: int, content: str) -> str:
        """Return what is wrong if a micro-batch can't hold `content`, a prompt with its completions; else ""."""
        needed = self.limits.max_prompt_tokens + num_completions * self.limits.max_completion_tokens
        if self.learner.micro_batch_tokens >= needed:
            return ""
        times, key = "" if num_completions == 1 else f"{num_completions} x ", self.limits_key
        return (
            f"learner.micro_batch_tokens ({self.learner.micro_batch_tokens}) can't hold {content} "
            f"({key}.max_prompt_tokens + {times}{key}.max_completion_tokens = {needed})"
        )

    @property
    def verifier_types(self) -> tuple[str, ...]:
        """The verifier types that the records may name."""
        return VERIFIER_TYPES

    @property
    def judges_with(self) -> RewardsSection | None:
        """The section of the verifiers; None for a run that judges no answers."""
        return None

    @property
    def engines(self) -> SamplerSection | None:
        """The section of the vLLM engines; None for a run that samples nothing."""
        return None

    @property
    def bucket_bytes(self) -> int:
        """The bytes of one bucket of weights between learner and engines; 0 for a run that sends no weights."""
        return 0

    @property
    def shared_bucket_bytes(self) -> int:
        """`bucket_bytes` if the buckets go through shared memory, else 0."""
        return 0

    @property
    def metric_limits(self) -> dict[str, float]:
        """The largest value of metrics, by name, beyond which the run reports a problem."""
        return {}

    @property
    def keeps_reference(self) -> bool:
        """True if each learner rank holds a frozen reference policy beside the trained one."""
        return False

    def bundles(self) -> dict[str, list[Bundle]]:
        """Return one bundle for each rank of the learner."""
        learner = self.learner
        return {"learner": [bundle(learner.cpus_per_rank, learner.gpus_per_rank)] * learner.num_ranks}
