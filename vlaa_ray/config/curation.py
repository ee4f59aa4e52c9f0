"""The config of a curation: the sources, the teachers, and the steps of `vlaa-ray data curate`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vlaa_ray.config.base import AnyConfig, Bundle, bundle
from vlaa_ray.config.base_folder import CheckpointPath, DataPath, InputPath, find_checkpoint, in_config
from vlaa_ray.config.rewards import ServiceSection
from vlaa_ray.config.sections import MIN_IMAGE_PIXELS, FetchSection, Section
from vlaa_ray.records import VERIFIER_TYPE_PATTERN

PAPER_CUES = ("wait", "again", "double-check", "hmm", "mistake", "alternatively", "check", "i should confirm")
"""The paper's signs of reflection, to the letter (arXiv 2504.11468, appendix A.2)."""
SCRIPTED = "builtin:scripted"


class CurationSourceSection(Section):
    """A source of questions about pictures, with what else is known about the pictures."""

    path: DataPath
    """File, folder or hub data set with the questions, in any form that `data.train` takes."""
    image_root: InputPath | None = None
    """Folder that the image paths of this source are relative to; nothing outside it is read."""
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    """Verifier of records that don't name one; null for what their format's documentation says."""
    name: str | None = Field(None, pattern=r"^[\w.-]+$")
    """Name of the source in counts and results; null keeps the sources that the records name."""
    max_samples: int | None = Field(None, ge=1)
    """The first N records are used; null uses all."""
    side_information: tuple[str, ...] = ()
    """Fields of the records that are shown to the captioning and the reasoning teacher, such as `meta.rationale`."""
    caption_field: str | None = None
    """Field of the records that holds a finished caption, which saves the call (the paper's ALLaVA); null asks a
    teacher."""
    use: Literal["distill", "as_is", "rl_only"] = "distill"
    """Steps that the records pass. distill: all steps. as_is: the records' own worked answers are kept (the paper's
    COCO and VisualGenome). rl_only: no reasoning is made, since the questions go to the RL set (the paper's
    GeoQA170K)."""


class TeacherSection(ServiceSection):
    """A model behind an OpenAI-compatible endpoint."""

    url: str | None = Field(None, pattern=rf"^(https?://|{SCRIPTED}$)")
    """Address of the endpoint, for example https://api.openai.com/v1; null starts a vLLM server for `model`;
    `builtin:scripted` starts a small server that knows the built-in pictures."""
    model: str
    """Name of the model at the endpoint; without `url` a checkpoint: a folder or a hub id."""
    api_key_env: str | None = None
    """Environment variable that holds the key, such as OPENAI_API_KEY; null sends no key."""
    timeout_s: float = Field(120, gt=0)
    """Seconds after which a request to the teacher is given up and tried again."""
    max_attempts: int = Field(8, ge=1)
    """Attempts at one request; only errors that may pass are tried again."""
    give_up_s: float = Field(300, gt=0)
    """Seconds without any answer from the teacher after which the run ends with one error."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Tokens of prompts and replies that may be used in a minute; a reply counts with its limit. null sets no limit."""
    input_price: float = Field(0, ge=0)
    """Price of a million prompt tokens, in the currency of `budget.cost`."""
    output_price: float = Field(0, ge=0)
    """Price of a million reply tokens, in the currency of `budget.cost`."""
    gpus: int = Field(0, ge=0)
    """GPUs of the vLLM server that the run starts for this teacher; 0 runs it on the CPU."""
    max_model_tokens: int = Field(16_384, ge=1)
    """Tokens of prompt and reply together that a vLLM server started by the run accepts."""

    @field_validator("model")
    @classmethod
    def _where(cls, model: str, others: ValidationInfo) -> str:
        return model if others.data.get("url") else in_config(find_checkpoint)(model)


class StepSection(Section):
    """One question to a teacher."""

    teacher: str
    """Teacher that answers in this step: a name under `teachers`."""
    template: InputPath | None = None
    """Text file with the same slots as the built-in prompt vlaa_ray/curation/templates/STEP.txt; null for the built-in
    prompt."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Sampling temperature of the teacher; null leaves it to the service."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Share of the probability that sampling is limited to; null leaves it to the service."""
    max_tokens: int = Field(2048, ge=1)
    """Tokens of a reply at most; a longer reply can't be used."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields that are sent with every request, as the service expects them."""

    def sampling(self) -> dict[str, Any]:
        """Return the fields of a request that control sampling."""
        chosen = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in chosen.items() if value is not None} | self.extra


class CaptionSection(StepSection):
    """The settings of the step that describes the picture."""

    min_words: int = Field(5, ge=1)
    """Words of a caption at least; a shorter one can't be used."""


class RewriteSection(StepSection):
    """The settings of the step that rewrites the reasoning."""

    max_length_gap_words: int | None = Field(15, ge=0)
    """Largest difference in words between a text and its rewriting; beyond it the sample is dropped (the paper's
    rule). null sets no limit."""


class StepsSection(Section):
    """The four questions to teachers, and how often each is repeated."""

    caption: CaptionSection
    """Step that describes the picture in words."""
    distill: StepSection
    """Step that reasons from the caption to an answer."""
    rewrite: RewriteSection
    """Step that rewrites mentions of the caption as mentions of the picture."""
    verify: StepSection
    """Step that compares the answer with the gold."""
    max_replies: int = Field(3, ge=1)
    """Times that a teacher is asked for a usable reply before the sample is dropped."""


Cap = Annotated[int, Field(ge=0)]
Caps = Cap | dict[str, Cap] | None


class SplitSection(Section):
    """The rules that divide the samples into the SFT set and the RL set."""

    cues: tuple[str, ...] = PAPER_CUES
    """Signs of doubt: reasoning that holds one of them is for RL, the rest for SFT."""
    match: Literal["substring", "word"] = "substring"
    """How cues are found: as plain substrings, as in the paper ("against" holds "again"), or as whole words."""
    max_sft_per_source: Caps = None
    """Samples of each source in the SFT set at most, a seeded choice; or a mapping by source, where sources that are
    not named have no limit."""
    max_rl_per_source: Caps = None
    """Samples of each source in the RL set at most, a seeded choice; or a mapping by source, where sources that are
    not named have no limit."""

    def limit(self, to: Literal["sft", "rl"], source: str) -> int | None:
        """Return the largest number of samples of a source in the set; None for no limit."""
        caps = self.max_sft_per_source if to == "sft" else self.max_rl_per_source
        return caps.get(source) if isinstance(caps, dict) else caps


class PerplexitySection(Section):
    """Subsets of the SFT set with the answers that two models expect least (the paper, section 3.1)."""

    models: tuple[CheckpointPath, ...] = Field(min_length=1)
    """Checkpoints, folders or hub ids, whose mean perplexity ranks the answers; the paper's are Qwen2-VL-2B and
    Qwen2.5-VL-3B."""
    keep: tuple[int, ...] = (25_000, 10_000, 5_000)
    """Sizes of the subsets: for each N, the N answers with the highest perplexity."""
    dtype: Literal["fp32", "bf16"] = "bf16"
    """Number format of the models' weights."""
    min_pixels: int = Field(3136, ge=MIN_IMAGE_PIXELS)
    """Images with fewer pixels are enlarged to this many."""
    max_pixels: int = Field(1_003_520, ge=MIN_IMAGE_PIXELS)
    """Images with more pixels are reduced to this many."""
    max_tokens: int = Field(8192, ge=1)
    """Tokens of question and answer together at most; longer ones are left out of the subsets."""
    system_prompt: bool = True
    """Ask with the paper's system prompt, as SFT does."""
    num_engines: int = Field(1, ge=1)
    """Number of vLLM engines that read answers."""
    gpus: int = Field(0, ge=0)
    """GPUs of each engine; 0 runs it on the CPU."""
    batch: int = Field(32, ge=1)
    """Answers that an engine reads at once."""
    kv_cache_bytes: int = Field(1 << 30, ge=1 << 24)
    """Memory for keys and values of an engine on the CPU."""


class BudgetSection(Section):
    """Limits on the recorded replies of the run, over all its attempts; no call is made that could exceed a limit.

    A service may also bill requests that time out, or whose replies can't be read; these are not counted.
    """

    cost: float | None = Field(None, ge=0)
    """Cost of all calls at most, in the currency of the teachers' prices; null sets no limit."""
    tokens: int | None = Field(None, ge=0)
    """Tokens of all prompts and replies at most; null sets no limit."""
    calls: int | None = Field(None, ge=0)
    """Number of calls at most; null sets no limit."""


class CurationConfig(AnyConfig):
    """A curation: `vlaa-ray data curate --config FILE`."""

    command: ClassVar[str] = "data curate"
    sources: tuple[CurationSourceSection, ...] = Field(min_length=1)
    """Questions about pictures, from one source or several."""
    fetch: FetchSection = FetchSection()
    """Rules for images that records name by URL."""
    unique_images: bool = True
    """Use a picture once, with the first question about it (the paper's sampling)."""
    teachers: dict[str, TeacherSection]
    """Models that the steps ask, by a name that you choose."""
    steps: StepsSection
    """The four questions to teachers, and how often each is repeated."""
    split: SplitSection = SplitSection()
    """Rules that divide the samples into the SFT set and the RL set."""
    perplexity: PerplexitySection | None = None
    """Subsets of the SFT set by perplexity; null makes none."""
    budget: BudgetSection = BudgetSection()
    """Limits on what the teachers' calls may take."""

    @property
    def later_gpus(self) -> int:
        """The GPUs of the engines that measure perplexities."""
        return self.perplexity.num_engines * self.perplexity.gpus if self.perplexity else 0

    @property
    def used_teachers(self) -> dict[str, TeacherSection]:
        """The teachers that a step asks, by name."""
        return {name: self.teachers[name] for name in dict.fromkeys(self._asked().values())}

    def bundles(self) -> dict[str, list[Bundle]]:
        """Return one bundle for the vLLM server of each teacher without an address."""
        return {"teachers": [bundle(1, teacher.gpus) for teacher in self.used_teachers.values() if teacher.url is None]}

    @property
    def max_calls_in_flight(self) -> int:
        """The largest number of requests in flight to all teachers together."""
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
