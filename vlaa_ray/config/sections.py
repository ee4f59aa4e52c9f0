"""The parts of a run's config that all kinds of runs share, and those of sampling and learning."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from vlaa_ray.config.base_folder import CheckpointPath, DataPath, InputPath, OutputPath, find_data, in_config
from vlaa_ray.config.values import MAX_SEED, fault_of
from vlaa_ray.records import VERIFIER_TYPE_PATTERN

PAPER_SYSTEM_PROMPT = (
    "You are VL-Thinking🤔, a helpful assistant with excellent reasoning ability. A user asks you a question, "
    "and you should try to solve it. You should first think about the reasoning process in the mind and then "
    "provides the user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer "
    "here </answer>."
)
"""The paper's system prompt, to the letter (arXiv 2504.11468, figure 12)."""


REFLECTION_PHRASES = (
    "alternatively",
    "double-check",
    "i should check",
    "wait",
    "again",
    "hmm",
    "mistake",
    "check",
    "i should confirm",
)
"""The phrases of the paper's figure 7 (the first four), then its other cues (appendix A.2)."""
MIN_IMAGE_PIXELS = 28 * 28
"""Pixels that one image token covers, in two by two patches of 14 x 14: an image can't be made smaller than that."""
MAX_PROCESSES = 10_000
"""The most processes of one role."""
_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\]")


class Section(BaseModel):
    """A frozen part of the tree; unknown keys are errors, and every value keeps the rules of `config/values.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    @field_validator("*", mode="wrap")
    @classmethod
    def _sound(cls, value: Any, convert: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        key = str(info.field_name)
        annotation = cls.model_fields[key].annotation
        if fault := fault_of(key, value, annotation):
            raise ValueError(fault)
        converted = convert(value)
        if fault := fault_of(key, converted, annotation):  # the text "inf" becomes a number, for instance
            raise ValueError(fault)
        return converted


class NamedSection(Section):
    """Name, seed and folder of the run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run; its folder is `dir`/`name`."""
    seed: int = Field(0, ge=0, le=MAX_SEED)
    """Seed of every random choice in the run."""
    dir: OutputPath = "runs"
    """Folder in which run folders are made; on a cluster one that all nodes share, or one in a bucket, as
    s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."""
    local_dir: str = "~/.cache/vlaa-ray/runs"
    """Folder on each node's own disk for the working copies of runs whose `dir` is in a bucket."""
    lease_s: float = Field(60, gt=0)
    """Seconds without a sign of life after which another attempt may take over a run folder in a bucket."""
    upload_s: float = Field(900, gt=0)
    """Seconds at the end of a run for sending what its bucket does not have yet."""


class RunSection(NamedSection):
    """Name, seed, folder and steps of the run."""

    num_steps: int = Field(ge=1)
    """Training steps of the whole run, those before a resume included."""


class ModelSection(Section):
    """The model that is trained, and how images reach it."""

    path: CheckpointPath
    """The model to start from, of a family of docs/train.md: a folder, a hub id, `builtin:tiny-base`, or another run,
    by its folder or as `run:NAME`, whose newest checkpoint is taken."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """Number format of the weights, in the learner and in the engine; bf16 if left out where either has GPUs."""
    system_prompt: str | None = PAPER_SYSTEM_PROMPT
    """System prompt that is put before every prompt, below the record's own system text; null for no system prompt."""
    min_pixels: int = Field(3136, ge=MIN_IMAGE_PIXELS)
    """Images with fewer pixels are enlarged to this number."""
    max_pixels: int = Field(1_003_520, ge=MIN_IMAGE_PIXELS)
    """Images with more pixels are reduced to this number. One image token covers 28 x 28 pixels."""
    freeze_vision_tower: bool = False
    """Train only the language model (and the merger)."""

    @model_validator(mode="after")
    def _pixels(self) -> ModelSection:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        return self


class FetchSection(Section):
    """Images that records name by URL: they are fetched from listed hosts only. No redirect is followed."""

    hosts: tuple[str, ...] = ()
    """Hosts that images may be fetched from: names such as images.example.org, and addresses or networks such as
    10.0.0.0/8. A name that leads to a private address needs that address listed, too. Empty fetches nothing."""
    cache: str = "~/.cache/vlaa-ray/images"
    """Folder where fetched images stay, so that each is fetched once; on a cluster one that every node sees."""
    concurrency: int = Field(16, ge=1, le=10_000)
    """Images that are fetched at once."""
    timeout_s: float = Field(30, gt=0)
    """Seconds after which fetching one image is given up."""
    give_up_s: float = Field(120, gt=0)
    """Seconds that a host may go on failing before the command ends with one error."""

    @field_validator("hosts")
    @classmethod
    def _known_forms(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if _network(host) is None and not _HOST_NAME.fullmatch(host):
                raise ValueError(f"{host!r} is neither a host's name alone nor an address or a network")
        return tuple(host.lower() for host in hosts)

    def names(self) -> list[str]:
        """Return the hosts that are listed by name."""
        return [host for host in self.hosts if not _network(host)]

    def networks(self) -> list[IPv4Network | IPv6Network]:
        """Return the hosts that are listed as addresses or networks."""
        return [network for host in self.hosts if (network := _network(host))]


def _network(host: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(host)
    except ValueError:
        return None


class SourceSection(Section):
    """One of several data sources that are mixed."""

    path: DataPath
    """File, folder or hub data set, in any form that `data.train` takes."""
    weight: float = Field(1.0, gt=0, le=10_000)
    """Number of times that its prompts come in an epoch: 2 takes each twice, 0.5 every other one."""
    max_per_source: int | None = Field(None, ge=1)
    """Prompts at most of each source that the records name; null for all."""
    image_root: InputPath | None = None
    """Folder that the image paths of this source are relative to; nothing outside it is read."""
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    """Verifier of records that don't name one; null for what their format's documentation says."""


Source = str | tuple[SourceSection, ...]


class DataSection(Section):
    """The records to train on and the held-out records."""

    train: Source = "builtin:train"
    """Prompts to train on: `builtin:train`; or records in the layout of VLAA-Thinking, verl, EasyR1, VLM-R1,
    LLaVA-CoT, MMK12, ViRL39K, MM-Eureka, Vero or R1-V; or a list of such sources, as {path, weight, max_per_source,
    image_root, verifier_type}.

    Records are in a JSON, JSON Lines, CSV or parquet file; in a folder of JSON and parquet files of one split, read
    in the order of their names (or of an imagefolder, by `file_name` in its metadata); in a folder that `datasets`
    saved; or on the Hugging Face hub, as hub:OWNER/NAME@SPLIT. Tables stay on disk."""
    heldout: Source = "builtin:heldout"
    """Prompts for evaluation, in any form that `data.train` takes; `vlaa-ray data check` of both lists the images that
    are also in `train`."""
    image_root: InputPath | None = None
    """Folder that image paths in the files are relative to; nothing outside it is read."""
    fetch: FetchSection = FetchSection()
    """Rules for images that records name by URL."""
    verifier_types: tuple[str, ...] | None = None
    """Verifier types whose prompts are used (the paper's ablation, table 5), null for all; in the built-in data a type
    that is named twice comes twice as often."""
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    """Verifier of records that don't name one; null for what their format's documentation says."""
    max_bad_share: float = Field(1.0, ge=0, le=1)
    """Largest share of records in a file that can't be used; a larger one ends the run. Records that can't be used are
    left out and listed."""
    num_train: int | None = Field(None, ge=1)
    """Use the first N prompts of `train`; null for all."""
    num_heldout: int | None = Field(None, ge=1)
    """Use the first N prompts of `heldout`; null for all."""

    @field_validator("train", "heldout")
    @classmethod
    def _where(cls, source: Source) -> Source:
        if not source:
            raise ValueError("no source is named; name a file, or leave the key out for the built-in data")
        return in_config(find_data)(source) if isinstance(source, str) else source

    def source_at(self, path: str) -> SourceSection:
        """Return the settings for the records at a path: those of the mixture's part that names it, else `alone`."""
        mixed = [part for source in (self.train, self.heldout) if not isinstance(source, str) for part in source]
        same = (part for part in mixed if Path(path).resolve().is_relative_to(Path(part.path).resolve()))
        return next(same, self.alone(path))

    def alone(self, path: str) -> SourceSection:
        """Return the settings for the records at a path that is not part of a mixture."""
        return SourceSection(path=path, image_root=self.image_root, verifier_type=self.verifier_type)


class WeightSyncSection(Section):
    """How new weights travel from the learner to the engines."""

    transport: Literal["shared_memory", "nccl"] = "shared_memory"
    """Transport of the weights: `shared_memory` uses /dev/shm on a node and Ray's object store between nodes; `nccl`
    needs GPUs."""
    bucket_bytes: int = Field(256 << 20, ge=1 << 20)
    """Largest number of bytes that are sent at once; a larger tensor is sent alone."""


class CheckpointSection(Section):
    """When checkpoints are written, and how many are kept."""

    every_steps: int = Field(10, ge=1)
    """Steps between two checkpoints; the last step is always saved."""
    beside_training: bool = True
    """Write GRPO's checkpoints beside the next steps, from a copy in the RAM of each rank, as large as its weights and
    optimizer states; false writes them before the next step, without a copy."""
    keep: int = Field(2, ge=1)
    """Number of checkpoints to keep. Older ones are deleted, but never the last complete one."""


class EvalSection(Section):
    """When and how the held-out records are evaluated."""

    every_steps: int = Field(10, ge=1)
    """Steps between two evaluations; the last step is always evaluated."""
    num_prompts: int | None = Field(None, ge=1)
    """Evaluate the first N held-out prompts; null for all."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature of evaluation; 0 takes the most likely token."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """Tokens of an evaluated completion at most; null for the rollouts' limit."""


class SamplingDeadlinesSection(Section):
    """The longest time that each part of sampling and scoring may take."""

    provision_s: float = Field(600, gt=0)
    """Seconds that actors may wait for nodes with room for them."""
    start_s: float = Field(300, gt=0)
    """Seconds for an actor to be ready once it has its place (a large model loads slower)."""
    rollout_s: float = Field(300, gt=0)
    """Seconds for the completions of one prompt."""
    reward_s: float = Field(120, gt=0)
    """Seconds for the rewards of one group."""


class DeadlinesSection(SamplingDeadlinesSection):
    """The longest time that each part of a step may take."""

    learn_s: float = Field(1800, gt=0)
    """Seconds for one update of the learner."""
    weight_sync_s: float = Field(300, gt=0)
    """Seconds for new weights to reach the engines."""
    checkpoint_s: float = Field(900, gt=0)
    """Seconds for saving or loading a checkpoint."""


class TrackingSection(Section):
    """Where metrics and rollouts are written."""

    tensorboard: bool = True
    """Write the metrics for TensorBoard as well."""
    wandb: Literal["offline", "online", "disabled"] = "offline"
    """Copy the metrics to Weights & Biases: kept on disk (offline), sent at once (online), or not at all (disabled)."""
    wandb_project: str = "vlaa-ray"
    """Name of the project at Weights & Biases."""
    mlflow: str | None = None
    """MLflow server that gets a copy of metrics and config, such as http://HOST:5000; null for none. User and password
    come from the variables MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""
    mlflow_experiment: str = "vlaa-ray"
    """Name of the experiment at the MLflow server."""
    rollouts_per_step: int = Field(32, ge=0)
    """Number of rollouts of a step that are written to disk for people to read."""
    pictures_every_steps: int = Field(20, ge=0)
    """Steps between those of which the trackers get pictures: a rollout of each verifier type, with its boxes drawn; 0
    for none."""
    rollouts_bytes: int = Field(4 << 30, ge=1 << 20)
    """Bytes that rollouts on disk and their pictures may take. When they take more, steps in between go, so that those
    that stay are about equally far apart; the first and the newest steps stay."""
    reflection_phrases: tuple[Annotated[str, Field(pattern=r"\S", max_length=200)], ...] = REFLECTION_PHRASES
    """Phrases of doubt that are counted in all completions of a step, as whole words in any case; the default has the
    four of the paper's figure 7 and its cues for the split of data."""
    sft_data: DataPath | None = None
    """Worked answers of an earlier SFT, in any form that `data.train` takes: the share of completions that begin with
    the same words is logged; null for none."""
    opening_words: int = Field(5, ge=1, le=100)
    """Number of first words that are compared with those of `sft_data`."""

    @field_validator("mlflow")
    @classmethod
    def _no_password(cls, address: str | None) -> str | None:
        if address and "@" in address.partition("//")[2].partition("/")[0]:
            raise ValueError("no user and no password here: the config is shown to others")
        return address


class RaySection(Section):
    """The Ray cluster that the run starts or joins."""

    address: str = "local"
    """Ray cluster to use: `local` starts one for this run alone; `auto` joins the one on this machine; host:port joins
    another."""
    object_store_bytes: int = Field(512 << 20, ge=80 << 20)
    """Size of the object store of a Ray that the run starts itself."""
    gpu_memory_bytes: int = Field(80 * 10**9, ge=1 << 30)
    """Memory of each GPU, for the plan of `--dry-run`; a run itself uses what the GPUs have."""

    @field_validator("address")
    @classmethod
    def _known_form(cls, address: str) -> str:
        return address if address == "local" else cluster_address(address)


def cluster_address(address: str) -> str:
    """Return the address of a Ray cluster as it is; raises ValueError unless it is `auto` or host:port."""
    host, _, port = address.rpartition(":")
    if address != "auto" and not (_HOST.fullmatch(host) and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError(f"{address!r} is no address of a Ray cluster: give auto or HOST:PORT, such as 10.0.0.1:6379")
    return address


class SamplesSection(Section):
    """Size and limits of the written answers."""

    samples_per_step: int = Field(64, ge=1)
    """Samples of a training step: prompts with an answer, or pairs of answers for a reward model."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """Tokens of a prompt at most, image tokens included; longer prompts are dropped with their reason, never cut."""
    max_completion_tokens: int = Field(1024, ge=1)
    """Tokens of an answer at most; longer answers are dropped with their reason and counted, never cut."""
