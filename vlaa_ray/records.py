"""The records that the roles exchange: prompts, completions, rollouts and groups. Frozen, without pixels.

An image travels as a reference: a path or the encoded bytes, with its sha256. The worker that uses it
decodes the pixels. Letters in shapes: C completion tokens, G rollouts in a group, T prompt tokens (with
every image expanded to its tokens).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

PAPER_TYPES = ("digit", "mcq", "math", "iou", "open_ended")
OTHER_TYPES = ("boxes", "points", "letters", "number", "text", "list", "yes_no", "ocr")
VERIFIER_TYPES = (*PAPER_TYPES, *OTHER_TYPES)
"""All built-in verifier types, in the order of tables and curves: the paper's first. A config can add more."""
GROUNDING_TYPES = ("iou", "boxes", "points")
"""The types whose golds are places in a picture."""
FORMAT = "format"
"""The verifier that checks a response's tags. It is never a sample's own verifier; a weight adds it to another."""
VERIFIER_TYPE_PATTERN = r"[a-z][a-z0-9_]*"
"""The regular expression that the name of a verifier type must match."""


def in_order(verifier_types: Iterable[str]) -> list[str]:
    """Return each type once: the built-in ones in the order of VERIFIER_TYPES, then the users' own by name."""
    order = {name: place for place, name in enumerate(VERIFIER_TYPES)}
    return sorted(set(verifier_types), key=lambda name: (order.get(name, len(order)), name))


NO_ANSWER = {
    "missing": "no <answer>…</answer>",
    "unclosed": "an <answer> that is never closed",
    "in_thought": "an <answer> inside the thought only",
    "several": "more than one <answer>, where exactly one is asked for",
}
"""The reasons why a response has no answer: the name in metrics, and the reason in words."""


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """One encoded image: its bytes in `data`, or a file at `path`.

    `sha256` is computed from the encoded bytes. `width_px` and `height_px` are the upright picture's size.
    """

    sha256: str
    width_px: int
    height_px: int
    path: str | None = None
    data: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_bytes(cls, data: bytes, *, width_px: int, height_px: int) -> ImageRef:
        """Return a reference that holds the encoded bytes, with their sha256."""
        return cls(sha256=hashlib.sha256(data).hexdigest(), width_px=width_px, height_px=height_px, data=data)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A turn of the conversation before the question. Its text marks the places of its images as a question does."""

    role: Literal["user", "assistant"]
    text: str
    num_images: int = 0
    """The number of its images: the next ones in `Prompt.images`."""


def num_images_of_question(num_images: int, history: Iterable[Turn]) -> int:
    """Return how many of the images belong to the question itself; negative if the earlier turns want too many."""
    return num_images - sum(turn.num_images for turn in history)


def index_of_gold_image(num_images: int, history: Iterable[Turn]) -> int:
    """Return the index of the image that a gold's coordinates belong to; -1 if there are no images.

    It is the question's first one, or else the last before it.
    """
    return num_images - max(num_images_of_question(num_images, history), 1) if num_images else -1


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A question with its images, and what its verifier needs to judge an answer.

    For example:

        Prompt(prompt_id="digits/train/17", question="How many digits are there?", gold=3,
               verifier_type="digit", source="digits", images=(ImageRef(...),))
    """

    prompt_id: str
    question: str
    gold: Any
    verifier_type: str
    source: str
    images: tuple[ImageRef, ...] = ()
    """The images of the earlier turns, in their order, and then those of the question."""
    verifier_params: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    """The record's own system text. The model gets it before the run's system prompt."""
    history: tuple[Turn, ...] = ()
    """The earlier turns of a conversation whose last user turn is the question."""
    solution: str | None = None
    """A worked answer (`<think>…</think><answer>…</answer>`), where the data has one. SFT trains on it."""
    record_format: str = ""
    """The name of the record's format in `data.formats.registry.FORMATS`; empty if the prompt comes from no file."""
    meta: dict[str, Any] = field(default_factory=dict)
    """The other fields of the record that its reader was asked to keep."""

    @property
    def num_question_images(self) -> int:
        """The number of images that belong to the question itself; negative if the earlier turns want too many."""
        return num_images_of_question(len(self.images), self.history)

    @property
    def gold_image_index(self) -> int:
        """The index of the image that a gold's coordinates belong to, as `index_of_gold_image` gives it."""
        return index_of_gold_image(len(self.images), self.history)

    @property
    def gold_image(self) -> ImageRef | None:
        """The image at `gold_image_index`; None if the prompt has no images."""
        return self.images[self.gold_image_index] if self.images else None

    @property
    def gold_text(self) -> str:
        """The gold as text: a string unchanged, anything else as JSON, or the name of its type where JSON fails.

        JSON fails for lists that are too deep, and for integers of more than 4,300 digits.
        """
        if isinstance(self.gold, str):
            return self.gold
        try:
            return json.dumps(self.gold, ensure_ascii=False, default=str)
        except (RecursionError, TypeError, ValueError):
            return f"({type(self.gold).__name__} that JSON can't hold)"


@dataclass(frozen=True)
class Defect:
    """A reason not to train on a record. `id` is the record's own id, or `file:row` where it has none.

    Row 0 stands for the whole file. `expected` and `fix` say what was expected and what to do; they may be empty.
    """

    id: str
    file: str
    row: int
    reason: str
    expected: str = ""
    fix: str = ""

    def as_json(self) -> dict[str, str | int]:
        """Return the defect as files hold it: without `expected` and `fix` where they are empty."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("expected", "fix")}


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Several answers to one prompt and how good each is: the data that a reward model learns from.

    `worths` holds one number an answer. Only the order of the numbers has a meaning.
    """

    prompt: Prompt
    answers: tuple[str, ...]
    worths: tuple[float, ...]


def prompt_of(record: Prompt | Preference) -> Prompt:
    """Return the prompt itself, or the prompt that a preference's answers belong to."""
    return record.prompt if isinstance(record, Preference) else record


@dataclass(frozen=True, kw_only=True, eq=False)
class Completion:
    """One sampled answer, with the tokens that the engine sampled. Its text is never tokenised again."""

    text: str
    token_ids: np.ndarray  # [C] int32, including the stop token if there is one
    rollout_logprobs: np.ndarray  # [C] float32, log-probabilities under the sampled distribution
    weight_versions: tuple[tuple[int, int, int], ...]  # (version, start, end) spans that cover [0, C)
    finish_reason: Literal["stop", "length"]

    @property
    def weight_version(self) -> int:
        """The oldest weight version that a token of this completion was sampled with."""
        return min(version for version, _, _ in self.weight_versions)


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledGroup:
    """The completions of one prompt, and the prompt's token ids as the engine saw them."""

    prompt_token_ids: np.ndarray  # [T] int32, one id for each image feature
    completions: tuple[Completion, ...]


@dataclass(frozen=True, kw_only=True)
class RewardResult:
    """A verifier's verdict on one response.

    A sample that can't be judged has `valid=False` and no `value`; it never enters a mean.
    """

    value: float | None
    """The reward in [0, 1]; None if the sample can't be judged."""
    valid: bool
    extracted: str | None = None
    """The answer that was extracted from the response; None if there was no answer."""
    reason: str = ""
    """The reason why the value is less than 1 or missing."""
    parts: dict[str, float] = field(default_factory=dict)
    """The values that the reward was computed from, by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """A completion and its reward; `advantage` is None until the group's advantages are known."""

    completion: Completion
    reward: RewardResult
    advantage: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """The G rollouts of one prompt. `position` is the prompt's place in the order of the run, from 0.

    A prompt that couldn't be sampled has no rollouts; `failure` says why.
    """

    prompt: Prompt
    position: int
    prompt_token_ids: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    # [T] int32, as the engine saw them, with every image expanded to its tokens
    rollouts: tuple[Rollout, ...] = ()
    failure: str | None = None

    @property
    def weight_version(self) -> int:
        """The oldest weight version that a token of the group was sampled with."""
        return min(rollout.completion.weight_version for rollout in self.rollouts)


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizerStep:
    """One rank's part of one optimizer step, and the step's totals over all ranks, by which the loss is divided."""

    groups: tuple[Group, ...]
    num_sequences: int
    """The number of samples in the step on all ranks, including those without a gradient."""
    num_tokens: int
    """The number of completion tokens in those samples. Overlong samples don't count where they are masked."""
