"""The config of an evaluation: the conditions, the benchmarks, the engines and the judge of `vlaa-ray eval`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from vlaa_ray.config.base import AnyConfig, Bundle, bf16_on_gpus, bundles_of
from vlaa_ray.config.base_folder import CheckpointPath
from vlaa_ray.config.benchmarks import BenchmarkSection, Style
from vlaa_ray.config.engines import SamplerSection
from vlaa_ray.config.rewards import RewardsSection, ServiceSection, patience_fault
from vlaa_ray.config.sections import (
    EvalSection,
    FetchSection,
    ModelSection,
    NamedSection,
    SamplingDeadlinesSection,
    Section,
)


class GrpoEvalSection(EvalSection):
    """When and how the held-out records and the benchmarks are evaluated."""

    benchmarks: tuple[BenchmarkSection, ...] = ()
    """Benchmarks that are asked at every evaluation and scored by their rules alone, as {name, data, num_rows}; their
    metrics are `eval/benchmark/NAME/…`."""
    style: Style = "kit"
    """Wording of the benchmarks' questions: VLMEvalKit's (kit) or the paper's (paper)."""

    @field_validator("benchmarks")
    @classmethod
    def _sound_list(cls, benchmarks: tuple[BenchmarkSection, ...]) -> tuple[BenchmarkSection, ...]:
        if any(section.records for section in benchmarks):
            raise ValueError("records of your own are evaluated through data.heldout; name benchmarks here")
        return _with_own_names(benchmarks)


class ConditionsSection(Section):
    """The name of the conditions, and the wording of the questions; stored and shown with every score."""

    name: str = Field("kit", pattern=r"^[\w .-]+$")
    """Name of these conditions beside the scores."""
    style: Style = "kit"
    """Wording of the benchmarks' questions: VLMEvalKit's (kit) or the paper's (paper)."""


class EvaluatedModelSection(ModelSection):
    """The model that is evaluated, and how images reach it."""

    path: CheckpointPath = "builtin:tiny-base"
    """The model; `--model` takes its place."""
    min_pixels: int = Field(1280 * 28 * 28, ge=28 * 28)
    """Images with fewer pixels are enlarged to this number; the default is VLMEvalKit's for the paper's models."""
    max_pixels: int = Field(16_384 * 28 * 28, ge=28 * 28)
    """Images with more pixels are reduced to this number; the default is VLMEvalKit's for the paper's models."""


class EvalRolloutSection(SamplerSection):
    """Engines that answer, and how they sample."""

    max_prompt_tokens: int = Field(20_480, ge=1)
    """Tokens of a prompt at most, image tokens included. Rows with longer ones stay unanswered and count as wrong."""
    max_completion_tokens: int = Field(2048, ge=1)
    """Tokens of an answer at most; sampling stops there."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature; 0 takes the most likely token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Share of the probability that sampling is limited to."""
    num_samples: int = Field(1, ge=1, le=1024)
    """Answers to each question: scores are means over them, with pass@k and the majority's answer beside them."""

    @model_validator(mode="after")
    def _differing_samples(self) -> EvalRolloutSection:
        if self.num_samples > 1 and not self.temperature:
            raise ValueError(f"num_samples ({self.num_samples}) above 1 needs a temperature above 0")
        return self


class EndpointSection(ServiceSection):
    """A model behind an OpenAI-compatible endpoint, in place of engines of this run."""

    model: str | None = None
    """Name of the model at the endpoint; null takes the first one that it lists."""
    timeout_s: float = Field(600, gt=0)
    """Seconds after which one request is given up."""
    give_up_s: float = Field(300, gt=0)
    """Seconds without any answer from the endpoint after which the run ends with one error."""


class JudgeSection(ServiceSection):
    """A model behind an OpenAI-compatible endpoint that reads answers which the rules can't settle."""

    model: str = "gpt-4o-mini"
    """Name of the model at the endpoint; VLMEvalKit's default."""
    max_tokens: int = Field(512, ge=1)
    """Tokens of a reply at most."""
    timeout_s: float = Field(120, gt=0)
    """Seconds after which one request is given up."""
    give_up_s: float = Field(300, gt=0)
    """Seconds without any answer from the judge after which the run ends with one error."""


class EvalDeadlinesSection(SamplingDeadlinesSection):
    """The longest time that each part of an evaluation may take."""

    start_s: float = Field(900, gt=0)
    """Seconds for all actors to be ready (a large model loads slower)."""
    rollout_s: float = Field(1800, gt=0)
    """Seconds for the answers to one question, its wait in the engine included."""


class EvalConfig(AnyConfig):
    """An evaluation: `vlaa-ray eval --model MODEL --benchmark NAME --data PATH --config FILE`."""

    command: ClassVar[str] = "eval"
    run: NamedSection = NamedSection(name="eval")
    """Name, seed and folder of the run."""
    conditions: ConditionsSection = ConditionsSection()
    """The name of the conditions, and the wording of the questions; stored and shown with every score."""
    model: EvaluatedModelSection = EvaluatedModelSection()
    """The model that is evaluated, and how images reach it."""
    benchmarks: tuple[BenchmarkSection, ...] = ()
    """The benchmarks to ask; `--benchmark` and `--data` take their place."""
    rollout: EvalRolloutSection = EvalRolloutSection()
    """Engines that answer, and how they sample."""
    endpoint: EndpointSection = EndpointSection()
    """A model behind an OpenAI-compatible endpoint, in place of engines of this run; `--model URL` sets its url."""
    judge: JudgeSection = JudgeSection()
    """A model that reads answers which the rules can't settle; without a url such rows stay unsettled and count as
    wrong."""
    rewards: RewardsSection = RewardsSection()
    """How answers to records of your own are judged, and by how many actors."""
    fetch: FetchSection = FetchSection()
    """Rules for images that records name by URL."""
    deadlines: EvalDeadlinesSection = EvalDeadlinesSection()
    """The longest time that each part of an evaluation may take."""

    @property
    def samples_per_prompt(self) -> int:
        """`rollout.num_samples`."""
        return self.rollout.num_samples

    @property
    def requests_per_engine(self) -> int:
        """Twice the sequences that an engine decodes at once, so that it never waits for the next request."""
        return max(2, 2 * self.rollout.max_num_seqs // self.rollout.num_samples)

    @property
    def transport(self) -> Literal["shared_memory", "nccl"]:
        """Shared memory; no weights are sent in an evaluation."""
        return "shared_memory"

    @property
    def weight_sync_s(self) -> float:
        """The time of a start; no weights are sent in an evaluation."""
        return self.deadlines.start_s

    @property
    def bucket_bytes(self) -> int:
        """0: no weights are sent in an evaluation."""
        return 0

    @property
    def has_records(self) -> bool:
        """True if reward actors are needed: answers to records are scored by their verifiers."""
        return any(section.records for section in self.benchmarks)

    def bundles(self) -> dict[str, list[Bundle]]:
        """Return one bundle for each vLLM engine, and one for each reward actor if there are records."""
        rollout, rewards = self.rollout, self.rewards
        engines = 0 if self.endpoint.url else rollout.first
        scorers = rewards.first if self.has_records else 0
        return {
            "rollout": bundles_of(engines, rollout),
            "reward": bundles_of(scorers, rewards),
        }

    @field_validator("benchmarks")
    @classmethod
    def _own_names(cls, benchmarks: tuple[BenchmarkSection, ...]) -> tuple[BenchmarkSection, ...]:
        return _with_own_names(benchmarks)

    @model_validator(mode="before")
    @classmethod
    def _dtype_of_gpus(cls, values: Any) -> Any:
        """Set a `model.dtype` that is left out to bf16 where the engines have GPUs."""
        return bf16_on_gpus(values, ("rollout", "gpus_per_actor")) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _across(self) -> EvalConfig:
        if fault := patience_fault(self.rewards, self.deadlines.reward_s):
            raise ValueError(fault)
        return self


def _with_own_names(benchmarks: tuple[BenchmarkSection, ...]) -> tuple[BenchmarkSection, ...]:
    names = [section.name for section in benchmarks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"each benchmark needs a name of its own; more than once: {', '.join(twice)}")
    return benchmarks
