"""What `vlaa-ray data curate` makes an SFT set and an RL set from, and which models teach it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vlaa_ray.config.base import AnyConfig, Bundle, bundle
from vlaa_ray.config.rewards import ServiceSection
from vlaa_ray.config.sections import FetchSection, Section
from vlaa_ray.records import VERIFIER_TYPE_PATTERN

PAPER_CUES = ("wait", "again", "double-check", "hmm", "mistake", "alternatively", "check", "i should confirm")
"""The paper's signs of reflection, to the letter (arXiv 2504.11468, appendix A.2)."""
SCRIPTED = "builtin:scripted"


class CurationSourceSection(Section):
    """Questions about pictures, and what is known beside them."""

    path: str
    """As `data.train` takes it."""
    image_root: str | None = None
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    name: str | None = Field(None, pattern=r"^[\w.-]+$")
    """null for the sources that the records name."""
    max_samples: int | None = Field(None, ge=1)
    """At most so many records, the first ones; null for all."""
    side_information: tuple[str, ...] = ()
    """Fields of the records that the captioning and the reasoning teacher are told, such as `meta.rationale`."""
    caption_field: str | None = None
    """A field that holds a caption already, which saves the call (the paper's ALLaVA)."""
    use: Literal["distill", "as_is", "rl_only"] = "distill"
    """distill: all steps. as_is: the records' own worked answers are kept (the paper's COCO and VisualGenome). rl_only:
    no reasoning is needed, since the questions go to the RL set (the paper's GeoQA170K)."""


class TeacherSection(ServiceSection):
    """A model behind an OpenAI-compatible endpoint."""

    url: str | None = Field(None, pattern=rf"^(https?://|{SCRIPTED}$)")
    """For example https://api.openai.com/v1; null starts a vLLM server for `model`; `builtin:scripted` a small server
    that knows the built-in pictures."""
    model: str
    """Its name at the endpoint; without `url` a checkpoint: a folder or a hub id."""
    api_key_env: str | None = None
    """The environment variable that holds the key, such as OPENAI_API_KEY; null for none."""
    timeout_s: float = Field(120, gt=0)
    max_attempts: int = Field(8, ge=1)
    give_up_s: float = Field(300, gt=0)
    tokens_per_minute: int | None = Field(None, ge=1)
    """Of prompts and replies; a reply counts with as many as it may have."""
    input_price: float = Field(0, ge=0)
    """Of a million tokens of prompts, in the currency of `budget.cost`."""
    output_price: float = Field(0, ge=0)
    """Likewise, of replies."""
    gpus: int = Field(0, ge=0)
    """Of a vLLM server that the run starts."""
    max_model_tokens: int = Field(16_384, ge=1)
    """Likewise: of prompt and reply together."""


class StepSection(Section):
    """One question to a teacher."""

    teacher: str
    """A name under `teachers`."""
    template: str | None = None
    """A text file with the slots of ours, vlaa_ray/curation/templates/STEP.txt; null for ours."""
    temperature: float | None = Field(None, ge=0, le=2)
    """null for the service's own."""
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int = Field(2048, ge=1)
    """Of the reply; a longer one can't be used."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Sent with every request, as the service wants it."""

    def sampling(self) -> dict[str, Any]:
        """What a request says of how to sample."""
        chosen = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in chosen.items() if value is not None} | self.extra


class CaptionSection(StepSection):
    min_words: int = Field(5, ge=1)
    """A shorter caption can't be used."""


class RewriteSection(StepSection):
    max_length_gap_words: int | None = Field(15, ge=0)
    """A rewritten text that is longer or shorter by more words is dropped (the paper's rule); null for no limit."""


class StepsSection(Section):
    caption: CaptionSection
    distill: StepSection
    rewrite: RewriteSection
    verify: StepSection
    max_replies: int = Field(3, ge=1)
    """Times that a teacher is asked for a usable reply before the sample is dropped."""


Cap = Annotated[int, Field(ge=0)]
Caps = Cap | dict[str, Cap] | None


class SplitSection(Section):
    cues: tuple[str, ...] = PAPER_CUES
    """Reasoning that holds one of them is for RL, the rest for SFT."""
    match: Literal["substring", "word"] = "substring"
    """The paper's plain substrings ("against" holds "again"), or whole words."""
    max_sft_per_source: Caps = None
    """At most so many samples of each source, a seeded choice; or by source, where the others have no limit."""
    max_rl_per_source: Caps = None

    def limit(self, to: Literal["sft", "rl"], source: str) -> int | None:
        """How many samples of a source the set takes; None for all."""
        caps = self.max_sft_per_source if to == "sft" else self.max_rl_per_source
        return caps.get(source) if isinstance(caps, dict) else caps


class PerplexitySection(Section):
    """Subsets of the SFT set by how little two models expect its answers (the paper, section 3.1)."""

    models: tuple[str, ...] = Field(min_length=1)
    """Folders or hub ids; the paper's are Qwen2-VL-2B and Qwen2.5-VL-3B. The mean over them ranks."""
    keep: tuple[int, ...] = (25_000, 10_000, 5_000)
    """Sizes of the subsets: so many with the highest perplexity."""
    dtype: Literal["fp32", "bf16"] = "bf16"
    min_pixels: int = Field(3136, ge=784)
    max_pixels: int = Field(1_003_520, ge=784)
    max_tokens: int = Field(8192, ge=1)
    """Of question and answer together; longer ones are left out of the subsets."""
    system_prompt: bool = True
    """Ask with the paper's system prompt, as SFT does."""
    num_engines: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    """Of each engine."""
    batch: int = Field(32, ge=1)
    """Answers that an engine reads at once."""
    kv_cache_bytes: int = Field(1 << 30, ge=1 << 24)
    """Memory for keys and values on a CPU."""


class BudgetSection(Section):
    """What the recorded replies of the run may take, the resumed attempts counted in; no call is made that could go
    over it. What a service bills for requests that time out, or whose replies can't be read, isn't known here.
    """

    cost: float | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    calls: int | None = Field(None, ge=0)


class CurationConfig(AnyConfig):
    """A curation: `vlaa-ray data curate --config FILE`."""

    command: ClassVar[str] = "data curate"
    sources: tuple[CurationSourceSection, ...] = Field(min_length=1)
    fetch: FetchSection = FetchSection()
    unique_images: bool = True
    """A picture is used once, with the first question about it (the paper's sampling)."""
    teachers: dict[str, TeacherSection]
    steps: StepsSection
    split: SplitSection = SplitSection()
    perplexity: PerplexitySection | None = None
    budget: BudgetSection = BudgetSection()

    @property
    def used_teachers(self) -> dict[str, TeacherSection]:
        """Those that a step asks."""
        return {name: self.teachers[name] for name in dict.fromkeys(self._asked().values())}

    def bundles(self) -> dict[str, list[Bundle]]:
        """The vLLM servers of the teachers that have no address."""
        return {"teachers": [bundle(1, teacher.gpus) for teacher in self.used_teachers.values() if teacher.url is None]}

    @property
    def max_calls_in_flight(self) -> int:
        """Requests that may be on their way to all teachers together."""
        return sum(teacher.concurrency for teacher in self.used_teachers.values())

    def _asked(self) -> dict[str, str]:
        steps = self.steps
        return {name: getattr(steps, name).teacher for name in ("caption", "distill", "rewrite", "verify")}

    @model_validator(mode="after")
    def _known_teachers(self) -> CurationConfig:
        for name, teacher in self._asked().items():
            if teacher not in self.teachers:
                raise ValueError(f"steps.{name}.teacher: no teacher {teacher!r}; known: {', '.join(self.teachers)}")
        return self
