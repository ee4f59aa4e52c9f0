"""The config of the rewards: the verifiers, and the scorer of open answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vlaa_ray.config.base_folder import find_checkpoint, in_config
from vlaa_ray.config.pools import PoolSection
from vlaa_ray.config.sections import MIN_IMAGE_PIXELS, Section
from vlaa_ray.records import VERIFIER_TYPE_PATTERN, VERIFIER_TYPES


class VerifierSection(Section):
    """One verifier type: a built-in one with other settings, or your own function."""

    function: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """Your own function as `package.module:function`. It is called as function(answer, gold, **params) in the sandbox
    and returns a number in [0, 1], a bool, None where the sample can't be judged, or a RewardResult. null keeps the
    built-in verifier."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters for every sample of the type; the sample's own `verifier_params` take precedence."""
    weights: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Weights of the verifiers whose values add up to the reward, for example {math: 0.9, format: 0.1}; empty uses the
    type's own verifier with weight 1 (the paper's rule). {iou: 0.5} halves the reward; {iou: 0} switches the signal
    off: its prompts are sampled, and earn nothing."""

    @model_validator(mode="after")
    def _at_most_one(self) -> VerifierSection:
        total = sum(self.weights.values())
        if total > 1 + 1e-9:
            raise ValueError(f"the weights add up to {total:g}, but a reward is at most 1")
        return self


class ServiceSection(Section):
    """An HTTP service, with limits on requests and waits."""

    url: str | None = Field(None, pattern=r"^https?://")
    """Address of an OpenAI-compatible endpoint, for example http://localhost:8000/v1, or of a shared reward model."""
    api_key_env: str | None = None
    """Environment variable that holds the key, such as OPENAI_API_KEY; null sends no key, and so does an unset one."""
    concurrency: int = Field(32, ge=1, le=10_000)
    """Requests in flight at once, in each actor; fewer while the service says that it is overloaded."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Requests that may be sent in a minute; null sets no limit."""
    timeout_s: float = Field(30, gt=0)
    """Seconds after which one request is given up."""
    max_attempts: int = Field(6, ge=1)
    """Attempts at one sample; only errors that may pass are tried again."""
    give_up_s: float = Field(60, gt=0)
    """Seconds without any answer from the service after which the run ends with one error."""

    @field_validator("url")
    @classmethod
    def _whole_address(cls, url: str | None) -> str | None:
        if url and url.startswith("http"):
            parts = urlsplit(url)  # its port raises ValueError if it is none
            if not parts.hostname or any(map(str.isspace, url)) or parts.port == 0:
                raise ValueError(f"{url!r} is no address: give http://HOST:PORT/PATH or https://HOST/PATH")
        return url


class OpenEndedSection(Section):
    """The scorer of open answers."""

    scorer: Literal["words", "reward_model", "xcomposer", "judge", "embedding"] = "words"
    """How free answers are judged. words: overlap with the gold. reward_model: a vision-language model with a value
    head. xcomposer: InternLM-XComposer2.5-Reward. judge: a model behind an OpenAI-compatible endpoint grades.
    embedding: closeness of meaning to the gold."""
    model: str | None = None
    """Checkpoint of the scorer: a folder, a hub id or `builtin:tiny-reward`; for a judge the model's name at the
    endpoint."""
    beta: float = Field(0.2, gt=0)
    """Steepness beta in the reward models' R = 1 - exp(-beta · (S(answer) - S(reference))); the paper doesn't give its
    value."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """Number format of the scorer's weights."""
    min_pixels: int = Field(3136, ge=MIN_IMAGE_PIXELS)
    """Images with fewer pixels are enlarged to this many."""
    max_pixels: int = Field(1_003_520, ge=MIN_IMAGE_PIXELS)
    """Images with more pixels are reduced to this many."""
    max_tokens: int = Field(16_384, ge=1)
    """Tokens of prompt and answer together at most; a longer answer is worth 0."""
    park: bool = False
    """Hold the reward model on the CPU while the learner works, and on the GPU only to score."""
    trust_remote_code: bool = False
    """Run Python code from the checkpoint (xcomposer needs it)."""
    service: ServiceSection = ServiceSection()
    """The endpoint of a judge or a shared reward model, and how long the run waits for it."""

    @field_validator("model")
    @classmethod
    def _where(cls, model: str | None, others: ValidationInfo) -> str | None:
        at_endpoint = others.data.get("scorer") == "judge"
        return in_config(find_checkpoint)(model) if model and not at_endpoint else model

    @model_validator(mode="after")
    def _complete(self) -> OpenEndedSection:
        problems = []
        if self.min_pixels > self.max_pixels:
            problems.append(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
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


class RewardsSection(PoolSection):
    """How completions are judged, and by how many actors."""

    cpus_per_actor: float = Field(0.5, gt=0)
    """CPUs that Ray reserves for each reward actor."""
    gpus_per_actor: float = Field(0, ge=0)
    """GPUs of each reward actor, for a reward model; a share such as 0.2 is allowed."""
    open_ended: OpenEndedSection = OpenEndedSection()
    """How answers to open questions are judged."""
    extraction: Literal["last", "exactly_one"] = "last"
    """Answer that counts if a response holds several: the last one (last), or no answer (exactly_one, the paper's
    rule)."""
    verifiers: dict[Annotated[str, Field(pattern=f"^{VERIFIER_TYPE_PATTERN}$")], VerifierSection] = Field(
        default_factory=dict
    )
    """Settings by verifier type. To switch a type off, leave it out of `data.verifier_types`."""
    timeout_s: float = Field(5.0, gt=0)
    """Seconds that one verification may take; its process is killed at the limit."""
    memory_limit_bytes: int = Field(2 << 30, ge=1 << 28)
    """Address space of a verifier process. A verification that uses more than half of what the limit leaves is not
    trusted: its sample is invalid."""
    max_invalid_share: float = Field(0.05, ge=0, le=1)
    """Largest share of samples in a step that can't be judged; a larger one ends the run."""

    def weights_of(self, verifier_type: str) -> Mapping[str, float]:
        """Return the verifiers that judge answers to prompts of this type, with their weights."""
        section = self.verifiers.get(verifier_type)
        return (section and section.weights) or {verifier_type: 1.0}

    def shows_images(self, verifier_type: str) -> bool:
        """Return True if the scorer of answers to prompts of this type looks at the images."""
        return "open_ended" in self.weights_of(verifier_type) and self.open_ended.scorer not in ("words", "embedding")

    def verifier_types(self) -> tuple[str, ...]:
        """Return all types that prompts may name: the built-in ones, and those with a function of the user."""
        return (*VERIFIER_TYPES, *(name for name, verifier in self.verifiers.items() if verifier.function))


def patience_fault(rewards: RewardsSection, reward_s: float) -> str:
    """Return what is wrong if a scorer's service may take longer than `reward_s`, the deadline of a group; else ""."""
    open_ended = rewards.open_ended
    longest_s = open_ended.service.give_up_s + open_ended.service.timeout_s
    if not (open_ended.scorer == "judge" or open_ended.service.url) or longest_s <= reward_s:
        return ""
    return (
        f"rewards.open_ended.service may take give_up_s + timeout_s = {longest_s:g} s, which is longer than "
        f"deadlines.reward_s ({reward_s:g})"
    )
