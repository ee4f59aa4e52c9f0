"""The parts of a run's config that all kinds of runs share, and those of sampling and learning."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vlaa_ray.records import VERIFIER_TYPE_PATTERN

PAPER_SYSTEM_PROMPT = (
    "You are VL-Thinking🤔, a helpful assistant with excellent reasoning ability. A user asks you a question, "
    "and you should try to solve it. You should first think about the reasoning process in the mind and then "
    "provides the user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer "
    "here </answer>."
)
"""The paper's system prompt, to the letter (arXiv 2504.11468, figure 12)."""


_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")


class Section(BaseModel):
    """A frozen part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class NamedSection(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run folder, `dir`/`name`."""
    seed: int = 0
    """Seeds every choice that is left to chance."""
    dir: str = "runs"
    """Where run folders are made."""


class RunSection(NamedSection):
    num_steps: int = Field(ge=1)
    """Training steps of the whole run, the resumed ones counted in."""


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


class FetchSection(Section):
    """Images that records name by URL: from nowhere, unless hosts are listed. No redirect is followed."""

    hosts: tuple[str, ...] = ()
    """Names such as images.example.org, and addresses or networks such as 10.0.0.0/8: a name that leads to a private
    address needs that listed, too."""
    cache: str = "~/.cache/vlaa-ray/images"
    """A folder where what was fetched stays, so that it is fetched once; on a cluster one that every node sees."""
    concurrency: int = Field(16, ge=1)
    """Images that are fetched at once."""
    timeout_s: float = Field(30, gt=0)
    """Of one image."""
    give_up_s: float = Field(120, gt=0)
    """When a host has been failing for so long, the command ends with one error."""

    @field_validator("hosts")
    @classmethod
    def _known_forms(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if _network(host) is None and not _HOST_NAME.fullmatch(host):
                raise ValueError(f"{host!r} is neither a host's name alone nor an address or a network")
        return tuple(host.lower() for host in hosts)

    def names(self) -> list[str]:
        """Those of the list that are no addresses."""
        return [host for host in self.hosts if not _network(host)]

    def networks(self) -> list[IPv4Network | IPv6Network]:
        """Those of the list that are no names."""
        return [network for host in self.hosts if (network := _network(host))]


def _network(host: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(host)
    except ValueError:
        return None


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
    """`builtin:train`; or records in the layout of VLAA-Thinking, verl, EasyR1, VLM-R1, LLaVA-CoT, MMK12, ViRL39K,
    MM-Eureka, Vero or R1-V; or a list of such, as {path, weight, max_per_source, image_root, verifier_type}.

    Records are in a JSON, JSON Lines, CSV or parquet file; in a folder of JSON and parquet files of one split, read in
    the order of their names (or of an imagefolder, by `file_name` in its metadata); in a folder that `datasets` saved;
    or on the Hugging Face hub, as hub:OWNER/NAME@SPLIT. Tables stay on disk."""
    heldout: Source = "builtin:heldout"
    """Likewise, for evaluation; `vlaa-ray data check` of both names the images that are in `train`, too."""
    image_root: str | None = None
    """Folder that image paths in the files are relative to; nothing outside it is read."""
    fetch: FetchSection = FetchSection()
    verifier_types: tuple[str, ...] | None = None
    """Only prompts of these types (the paper's ablation, table 5), null for all; one named twice has two turns in
    built-in data."""
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    """Of records that don't name one; null for what their format's documentation says."""
    max_bad_share: float = Field(1.0, ge=0, le=1)
    """Records that can't be used are left out and listed; a file with a larger share of them ends the run."""
    num_train: int | None = Field(None, ge=1)
    """Use the first so many prompts of `train`; null for all."""
    num_heldout: int | None = Field(None, ge=1)
    """Likewise for `heldout`."""

    def source_at(self, path: str) -> SourceSection:
        """How the records there are read: as the mixture says that names the path or its folder, else as `alone`."""
        mixed = [one for source in (self.train, self.heldout) if not isinstance(source, str) for one in source]
        same = (one for one in mixed if Path(path).resolve().is_relative_to(Path(one.path).resolve()))
        return next(same, self.alone(path))

    def alone(self, path: str) -> SourceSection:
        """How the records there are read where they are no part of a mixture."""
        return SourceSection(path=path, image_root=self.image_root, verifier_type=self.verifier_type)


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
