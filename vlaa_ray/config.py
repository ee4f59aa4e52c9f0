"""The whole configuration of a run: one frozen tree, one place per default, every rule checked before Ray starts.

    load_config("configs/quickstart.yaml", ["run.num_steps=3"]) -> RunConfig

Unknown keys are errors that name the nearest key; all problems are reported in one ConfigError. The
resolved tree is written to the run folder and reloads equal. Suffixes are units; `num_` counts.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vlaa_ray.errors import ConfigError
from vlaa_ray.records import FORMAT, VERIFIER_TYPE_PATTERN, VERIFIER_TYPES

PAPER_SYSTEM_PROMPT = (
    "You are VL-Thinking🤔, a helpful assistant with excellent reasoning ability. A user asks you a question, "
    "and you should try to solve it. You should first think about the reasoning process in the mind and then "
    "provides the user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer "
    "here </answer>."
)
"""The paper's system prompt, to the letter (arXiv 2504.11468, figure 12)."""


class Section(BaseModel):
    """A frozen part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class RunSection(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run folder, `dir`/`name`."""
    num_steps: int = Field(ge=1)
    """Training steps of the whole run, the resumed ones counted in."""
    seed: int = 0
    """Seeds the prompt order, every sample and the initial state of the optimizer's randomness."""
    dir: str = "runs"
    """Where run folders are made."""


class ModelSection(Section):
    path: str
    """A Hugging Face checkpoint: a folder, a hub id, or `builtin:tiny-base`."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """Of the weights, in the learner and in the engine."""
    system_prompt: str | None = PAPER_SYSTEM_PROMPT
    """Put before every prompt; null for none."""
    min_pixels: int = Field(3136, ge=784)
    """Smaller images are enlarged to this many pixels."""
    max_pixels: int = Field(1_003_520, ge=784)
    """Larger images are reduced to this many pixels. One image token covers 28 x 28 pixels."""
    freeze_vision_tower: bool = False
    """Train only the language model (and the merger)."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention of the learner. The group rows need a mask, which both kinds take."""

    @model_validator(mode="after")
    def _pixels(self) -> ModelSection:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        return self


class SourceSection(Section):
    """One of several data sources that are mixed."""

    path: str
    """As `data.train` takes it."""
    weight: float = Field(1.0, gt=0)
    """Times that its prompts come in an epoch: 2 for twice each, 0.5 for every other one."""
    max_per_source: int | None = Field(None, ge=1)
    """At most so many prompts of each source that its records name."""
    image_root: str | None = None
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")


Source = str | tuple[SourceSection, ...]


class DataSection(Section):
    train: Source = "builtin:train"
    """`builtin:train`; or a JSON, JSON Lines or parquet file, or a folder that `datasets` saved, in the layout of
    VLAA-Thinking, verl, EasyR1, VLM-R1, LLaVA-CoT, MMK12, ViRL39K, MM-Eureka, Vero or R1-V; or a list of such, as
    {path, weight, max_per_source, image_root, verifier_type}."""
    heldout: Source = "builtin:heldout"
    """Likewise, for evaluation; its images must not be in `train`."""
    image_root: str | None = None
    """Folder that image paths in the files are relative to; nothing outside it is read."""
    verifier_types: tuple[str, ...] | None = None
    """Only prompts of these types (the paper's ablation, table 5), null for all; one named twice has two turns in
    built-in data."""
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    """Of records that don't name one; null for what their format's documentation says."""
    max_bad_share: float = Field(0.05, ge=0, le=1)
    """A file with a larger share of records that can't be read ends the run; fewer are left out and listed."""
    num_train: int | None = Field(None, ge=1)
    """Use the first so many prompts of `train`; null for all."""
    num_heldout: int | None = Field(None, ge=1)
    """Likewise for `heldout`."""


class RolloutSection(Section):
    num_actors: int = Field(1, ge=1)
    """vLLM engines, one an actor."""
    cpus_per_actor: float = Field(1, gt=0)
    gpus_per_actor: float = Field(0, ge=0)
    """More than one: tensor parallelism inside the engine. 0 runs vLLM on the CPU. A share of one leaves the rest of
    the GPU to a reward actor (`rewards.gpus_per_actor`); `gpu_memory_share` must leave it memory, too."""
    prompts_per_step: int = Field(64, ge=1)
    group_size: int = Field(8, ge=2)
    """Samples a prompt (the paper's G is 4)."""
    temperature: float = Field(1.0, gt=0, le=2)
    """Applied alike by the engine and in the learner's softmax."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """With images expanded. Longer prompts are refused, never cut."""
    max_completion_tokens: int = Field(256, ge=1)
    max_num_seqs: int = Field(256, ge=1)
    """Sequences that an engine decodes at once."""
    kv_cache_bytes: int = Field(1 << 30, ge=1 << 24)
    """Memory for keys and values, an engine (CPU); a GPU engine takes `gpu_memory_share` instead."""
    gpu_memory_share: float = Field(0.85, gt=0, lt=1)
    max_restarts: int = Field(3, ge=0)
    """Times that dead rollout actors may be replaced in a run, all of them together."""

    @property
    def tensor_parallel_size(self) -> int:
        return max(1, int(self.gpus_per_actor))

    @model_validator(mode="after")
    def _whole_gpus(self) -> RolloutSection:
        if self.gpus_per_actor > 1 and self.gpus_per_actor % 1:
            raise ValueError(f"gpus_per_actor ({self.gpus_per_actor:g}) must be a whole number, or a share of one")
        return self


class VerifierSection(Section):
    """One verifier type: ours with other settings, or a user's own function."""

    function: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`package.module:function`, called as function(answer, gold, **params) in the sandbox; it returns a number in
    [0, 1], a bool, None where the sample can't be judged, or a RewardResult."""
    params: dict[str, Any] = {}
    """For every sample of the type; the sample's own `verifier_params` win."""
    weights: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}
    """Reward = sum of weight · value over these verifiers, for example {math: 0.9, format: 0.1}; empty for the type's
    own, whole (the paper's rule). {iou: 0.5} scales."""

    @model_validator(mode="after")
    def _at_most_one(self) -> VerifierSection:
        total = sum(self.weights.values())
        if total > 1 + 1e-9:
            raise ValueError(f"the weights add up to {total:g}, and a reward is at most 1")
        return self


class ServiceSection(Section):
    """An HTTP service that judges, and how patient the run is with it."""

    url: str | None = Field(None, pattern=r"^https?://")
    """Of an OpenAI-compatible endpoint (judge), for example http://localhost:8000/v1; or of a shared reward model."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; none is sent where it is unset."""
    concurrency: int = Field(32, ge=1)
    """Requests at once, an actor."""
    timeout_s: float = Field(30, gt=0)
    """Of one request."""
    max_attempts: int = Field(6, ge=1)
    """Of one sample; only what may go better next time is tried again."""
    give_up_s: float = Field(60, gt=0)
    """With no answer at all for so long, the run ends with one error."""


class OpenEndedSection(Section):
    """What free answers are worth."""

    scorer: Literal["words", "reward_model", "xcomposer", "judge", "embedding"] = "words"
    """words: overlap with the gold. reward_model: a vision-language model with a value head. xcomposer:
    InternLM-XComposer2.5-Reward. judge: a model behind an OpenAI-compatible endpoint grades. embedding: closeness of
    meaning to the gold."""
    model: str | None = None
    """A folder, hub id or `builtin:tiny-reward`; for a judge the model's name at the endpoint."""
    beta: float = Field(0.2, gt=0)
    """Of R = 1 - exp(-beta · (S(answer) - S(reference))), for reward models (the paper doesn't give its value)."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    min_pixels: int = Field(3136, ge=784)
    max_pixels: int = Field(1_003_520, ge=784)
    max_tokens: int = Field(16_384, ge=1)
    """Of prompt and answer together; a longer answer is worth 0."""
    park: bool = False
    """Hold the reward model on the CPU while the learner works, and on the GPU only to score."""
    trust_remote_code: bool = False
    """Run Python code from the checkpoint (xcomposer needs it)."""
    service: ServiceSection = ServiceSection()

    @model_validator(mode="after")
    def _complete(self) -> OpenEndedSection:
        problems = []
        remote = self.scorer == "reward_model" and self.service.url
        if self.scorer in ("reward_model", "xcomposer", "judge") and not self.model and not remote:
            problems.append(f"scorer {self.scorer!r} needs a model")
        if self.scorer == "judge" and not self.service.url:
            problems.append("scorer 'judge' needs service.url")
        if self.scorer == "xcomposer" and not self.trust_remote_code:
            problems.append("scorer 'xcomposer' runs code from the checkpoint: set trust_remote_code if you trust it")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class RewardsSection(Section):
    num_actors: int = Field(1, ge=1)
    cpus_per_actor: float = Field(0.5, gt=0)
    gpus_per_actor: float = Field(0, ge=0)
    """For a reward model; a share of one may be asked for."""
    open_ended: OpenEndedSection = OpenEndedSection()
    extraction: Literal["last", "exactly_one"] = "last"
    """Of several complete answers the last one counts, or none does (the paper's rule)."""
    verifiers: dict[Annotated[str, Field(pattern=f"^{VERIFIER_TYPE_PATTERN}$")], VerifierSection] = {}
    """By verifier type. To switch a type off, leave it out of `data.verifier_types`."""
    timeout_s: float = Field(5.0, gt=0)
    """Wall-clock limit of one verification; the process is killed at the limit."""
    memory_limit_bytes: int = Field(2 << 30, ge=1 << 28)
    """Address-space limit of a verifier process."""
    max_invalid_share: float = Field(0.05, ge=0, le=1)
    """A step with a larger share of samples that can't be judged ends the run."""
    max_restarts: int = Field(3, ge=0)

    def verifier_types(self) -> tuple[str, ...]:
        """All types that prompts may name: ours, and those with a function of the user's."""
        return (*VERIFIER_TYPES, *(name for name, one in self.verifiers.items() if one.function))


class KlSection(Section):
    coefficient: float = Field(0.0, ge=0)
    """Weight of the KL term in the loss; 0 needs no reference policy."""
    target: float | None = Field(None, gt=0)
    """Adapts the coefficient towards this KL; null keeps it fixed."""
    horizon: float = Field(10_000, gt=0)
    """Samples over which the coefficient adapts: it moves by at most 0.2 · samples / horizon a step."""
    estimator: Literal["k1", "k2", "k3"] = "k3"


GRPO_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "aggregation": "grpo",
        "advantage": "std",
        "kl": {"coefficient": 1e-3, "target": 5e-4},
    },
    "dapo": {
        "aggregation": "dapo",
        "advantage": "std",
        "clip_high": 0.28,
        "resample_zero_variance": True,
        "mask_overlong": True,
    },
    "dr_grpo": {"aggregation": "dr_grpo", "advantage": "mean_only"},
}
"""Where a preset is named, these take the place of the defaults; keys given beside it win."""


class GrpoSection(Section):
    preset: Literal["paper", "dapo", "dr_grpo"] | None = None
    advantage: Literal["std", "mean_only"] = "std"
    """(r − mean) / (std + 1e-4), or r − mean (Dr. GRPO)."""
    aggregation: Literal["grpo", "dapo", "dr_grpo"] = "grpo"
    """Mean over each sequence, then over sequences (grpo); over all tokens (dapo); over a constant length (dr_grpo)."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    mask_overlong: bool = False
    """Completions cut at `max_completion_tokens` get no loss."""
    resample_zero_variance: bool = False
    """Groups without variance are replaced by new prompts before the update (DAPO's dynamic sampling)."""
    max_resamples: int = Field(4, ge=1)
    """At most so many times `prompts_per_step` prompts are asked for one step."""
    importance_cap: float = Field(2.0, ge=1)
    """Truncates the learner-over-engine importance weight, where rollouts are stale."""
    kl: KlSection = KlSection()

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") in GRPO_PRESETS:
            preset = GRPO_PRESETS[values["preset"]]
            kl = values.get("kl", {})
            merged = {**preset, **values}
            if isinstance(kl, dict):
                merged["kl"] = {**preset.get("kl", {}), **kl}
            return merged
        return values


class OptimSection(Section):
    learning_rate: float = Field(1e-6, gt=0)
    """The peak."""
    min_learning_rate: float = Field(0.0, ge=0)
    """Where the cosine ends (the paper's best: 5e-7)."""
    warmup_share: float = Field(0.03, ge=0, lt=1)
    """Of all steps."""
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _order(self) -> OptimSection:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate ({self.min_learning_rate}) is above learning_rate ({self.learning_rate})"
            )
        return self


class LearnerSection(Section):
    num_ranks: int = Field(1, ge=1)
    cpus_per_rank: float = Field(1, gt=0)
    num_threads: int | None = Field(None, ge=1)
    """Threads of torch in a CPU rank; null for `cpus_per_rank`. More pays where the roles take turns."""
    gpus_per_rank: int = Field(0, ge=0, le=1)
    zero_stage: Literal[0, 1, 2, 3] = 0
    micro_batch_tokens: int = Field(16_384, ge=1)
    """Tokens of one forward pass, padding counted in; a longer group is split into rows of fewer completions."""
    updates_per_step: int = Field(1, ge=1)
    """Optimizer steps a training step; the step's groups are shared out over them."""
    gradient_checkpointing: bool = False
    optim: OptimSection = OptimSection()


class WeightSyncSection(Section):
    transport: Literal["shared_memory", "nccl"] = "shared_memory"
    """`shared_memory` goes over /dev/shm on a node and Ray's object store between nodes; `nccl` needs GPUs."""
    bucket_bytes: int = Field(256 << 20, ge=1 << 20)
    """Weights are sent in pieces of at most this size (a larger tensor goes alone)."""


class CheckpointSection(Section):
    every_steps: int = Field(10, ge=1)
    keep: int = Field(2, ge=1)
    """Older checkpoints are deleted, the last verified one never."""


class EvalSection(Section):
    every_steps: int = Field(10, ge=1)
    num_prompts: int | None = Field(None, ge=1)
    """Of the held-out prompts; null for all."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0 takes the most likely token."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """null for the rollouts' limit."""


class DeadlinesSection(Section):
    start_s: float = Field(300, gt=0)
    """For all actors to be ready (a large model loads slower)."""
    rollout_s: float = Field(300, gt=0)
    """For one prompt's completions."""
    reward_s: float = Field(120, gt=0)
    """For one group's rewards."""
    learn_s: float = Field(1800, gt=0)
    """For one update."""
    weight_sync_s: float = Field(300, gt=0)
    checkpoint_s: float = Field(900, gt=0)


class TrackingSection(Section):
    tensorboard: bool = True
    wandb: Literal["offline", "online", "disabled"] = "offline"
    wandb_project: str = "vlaa-ray"
    rollouts_per_step: int = Field(32, ge=0)
    """Rollouts a step that are written out for people to read."""


class RaySection(Section):
    address: str = "local"
    """`local` starts a Ray of the run's own; `auto` joins the one on this machine; or host:port."""
    object_store_bytes: int = Field(512 << 20, ge=80 << 20)
    """Of a Ray of the run's own."""


class RunConfig(Section):
    """A GRPO run: `vlaa-ray train --config FILE`."""

    command: ClassVar[str] = "train"
    run: RunSection
    model: ModelSection
    data: DataSection = DataSection()
    rollout: RolloutSection = RolloutSection()
    rewards: RewardsSection = RewardsSection()
    grpo: GrpoSection = GrpoSection()
    learner: LearnerSection = LearnerSection()
    weight_sync: WeightSyncSection = WeightSyncSection()
    max_staleness: int = Field(0, ge=0)
    """Steps that rollouts may be behind the learner; 0 is the synchronous, on-policy run."""
    checkpoint: CheckpointSection = CheckpointSection()
    eval: EvalSection = EvalSection()
    deadlines: DeadlinesSection = DeadlinesSection()
    tracking: TrackingSection = TrackingSection()
    ray: RaySection = RaySection()

    @model_validator(mode="after")
    def _across(self) -> RunConfig:
        rollout, learner = self.rollout, self.learner
        groups, parts = rollout.prompts_per_step, learner.updates_per_step * learner.num_ranks
        problems = []
        if groups % parts:
            problems.append(
                f"rollout.prompts_per_step ({groups}) can't be shared out over learner.updates_per_step "
                f"({learner.updates_per_step}) x learner.num_ranks ({learner.num_ranks}) = {parts}"
            )
        row = rollout.max_prompt_tokens + rollout.max_completion_tokens
        if learner.micro_batch_tokens < row:
            problems.append(
                f"learner.micro_batch_tokens ({learner.micro_batch_tokens}) can't hold one prompt and one completion "
                f"(rollout.max_prompt_tokens + rollout.max_completion_tokens = {row})"
            )
        if self.weight_sync.transport == "nccl" and not (rollout.gpus_per_actor and learner.gpus_per_rank):
            problems.append(
                "weight_sync.transport 'nccl' needs rollout.gpus_per_actor and learner.gpus_per_rank of 1 or more"
            )
        open_ended = self.rewards.open_ended
        longest_s = open_ended.service.give_up_s + open_ended.service.timeout_s
        if (open_ended.scorer == "judge" or open_ended.service.url) and longest_s > self.deadlines.reward_s:
            problems.append(
                f"rewards.open_ended.service may take give_up_s + timeout_s = {longest_s:g} s, which is longer than "
                f"deadlines.reward_s ({self.deadlines.reward_s:g})"
            )
        known = set(self.rewards.verifier_types())
        named = {
            "data.verifier_types": self.data.verifier_types or (),
            "rewards.verifiers": self.rewards.verifiers,
            **{f"rewards.verifiers.{name}.weights": one.weights for name, one in self.rewards.verifiers.items()},
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


class SftSection(Section):
    samples_per_step: int = Field(64, ge=1)
    """Prompts, or pairs of answers where a reward model is trained."""
    max_prompt_tokens: int = Field(1024, ge=1)
    max_completion_tokens: int = Field(1024, ge=1)
    """Longer answers are dropped and counted, never cut."""


class SupervisedConfig(Section):
    """What runs on written answers have in common; `limits` is the section of the kind."""

    run: RunSection
    model: ModelSection
    data: DataSection = DataSection()
    learner: LearnerSection = LearnerSection()
    checkpoint: CheckpointSection = CheckpointSection()
    eval: EvalSection = EvalSection()
    deadlines: DeadlinesSection = DeadlinesSection()
    tracking: TrackingSection = TrackingSection()
    ray: RaySection = RaySection()

    @property
    def limits(self) -> SftSection:
        raise NotImplementedError


class SftConfig(SupervisedConfig):
    """A supervised run: `vlaa-ray sft --config FILE`."""

    command: ClassVar[str] = "sft"
    sft: SftSection = SftSection()

    @property
    def limits(self) -> SftSection:
        return self.sft


class RewardModelSection(SftSection):
    center_coefficient: float = Field(0.01, ge=0)
    """Weight of the term that keeps scores around 0."""
    sft_coefficient: float = Field(0.01, ge=0)
    """Weight of going on to learn the best answer itself, which makes reward models generalise."""


class RewardModelConfig(SupervisedConfig):
    """A reward model's training on pairs of answers: `vlaa-ray reward-model --config FILE`."""

    command: ClassVar[str] = "reward-model"
    reward_model: RewardModelSection = RewardModelSection()

    @property
    def limits(self) -> RewardModelSection:
        return self.reward_model

    @model_validator(mode="after")
    def _whole_pairs(self) -> RewardModelConfig:
        if not (isinstance(self.data.train, str) and isinstance(self.data.heldout, str)):
            raise ValueError("data.train and data.heldout of a reward model are one file each")
        limits = self.reward_model
        row = limits.max_prompt_tokens + 2 * limits.max_completion_tokens
        if self.learner.micro_batch_tokens < row:
            raise ValueError(
                f"learner.micro_batch_tokens ({self.learner.micro_batch_tokens}) can't hold a prompt and two answers "
                f"(reward_model.max_prompt_tokens + 2 x reward_model.max_completion_tokens = {row})"
            )
        return self


AnyConfig = RunConfig | SupervisedConfig

Config = TypeVar("Config", bound=Section)


def load_config(
    path: str | Path,
    overrides: list[str] | tuple[str, ...] = (),
    kind: type[Config] = RunConfig,  # type: ignore[assignment]
) -> Config:
    """The config of a YAML file with `key.path=value` overrides (values in YAML); ConfigError lists all problems."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(
            f"can't read the config: {error}", file=str(path), fix="give the path of a YAML file"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}", file=str(path)) from error
    if not isinstance(values, dict):
        raise ConfigError("the config must be a mapping of sections", file=str(path), got=type(values).__name__)
    for override in overrides:
        _apply(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(f"  - {_describe(problem, kind)}" for problem in error.errors())
        raise ConfigError(f"{error.error_count()} problem(s) in the config:\n{problems}\n", file=str(path)) from None


def config_kind(values: Any) -> type[RunConfig | SftConfig | RewardModelConfig]:
    """What kind of run the values of a config file describe: a section `sft` or `reward_model` says so."""
    sections = values if isinstance(values, dict) else {}
    if "reward_model" in sections:
        return RewardModelConfig
    return SftConfig if "sft" in sections else RunConfig


def dump_config(config: Section) -> str:
    """The resolved config as YAML; reloading it gives an equal config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Escapes the line end U+0085, which PyYAML would write as it is and read back as a space."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"an override must be key=value, got {override!r}", fix="for example run.num_steps=10")
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"override {key!r}: {parent!r} is a value, not a section")
    try:
        values[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {key!r}: not a YAML value: {text!r}") from error


def _describe(problem: Any, kind: type[Section]) -> str:
    path = [str(part) for part in problem["loc"]]
    where = ".".join(path) or "config"
    if problem["type"] == "extra_forbidden":
        known = _fields_at(kind, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join([*path[:-1], near[0]])!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if isinstance(problem["input"], dict | BaseModel) else f", got {problem['input']!r}"
    return f"{where}: {message}{got}"


def _fields_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        annotation = kind.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        kind = annotation
    return list(kind.model_fields)
