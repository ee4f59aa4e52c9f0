"""What travels between the roles: prompts, completions, rollouts and groups. Frozen, without pixels.

An image travels as a reference: a path or the encoded bytes, with its sha256. Pixels are made in the
worker that uses them. Legend: C completion tokens, G group size, T prompt tokens (images expanded).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

PAPER_TYPES = ("digit", "mcq", "math", "iou", "open_ended")
OTHER_TYPES = ("boxes", "points", "letters", "number", "text", "list", "yes_no", "ocr")
VERIFIER_TYPES = (*PAPER_TYPES, *OTHER_TYPES)
"""In the order of tables and curves: the paper's, then the others. Users add their own in the config."""
FORMAT = "format"
"""The verifier of a response's form: it judges no sample alone, but may join another by a weight."""
VERIFIER_TYPE_PATTERN = r"[a-z][a-z0-9_]*"


def in_order(verifier_types: Iterable[str]) -> list[str]:
    """Each type once: ours in the order of VERIFIER_TYPES, then the users' by name."""
    order = {name: place for place, name in enumerate(VERIFIER_TYPES)}
    return sorted(set(verifier_types), key=lambda name: (order.get(name, len(order)), name))


NO_ANSWER = {
    "missing": "no <answer>…</answer>",
    "unclosed": "an <answer> that is never closed",
    "several": "more than one <answer>, where exactly one is asked for",
}
"""Why nothing could be extracted: the name in metrics, and the reason in words."""


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """One encoded image: bytes in `data`, or a file at `path`; `sha256` is of the encoded bytes."""

    sha256: str
    width_px: int
    height_px: int
    path: str | None = None
    data: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_bytes(cls, data: bytes, *, width_px: int, height_px: int) -> ImageRef:
        return cls(sha256=hashlib.sha256(data).hexdigest(), width_px=width_px, height_px=height_px, data=data)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Text and images asked once, with what its verifier needs to judge an answer.

    Example: Prompt(prompt_id="digits/train/17", question="How many digits are there?", gold=3,
    verifier_type="digit", source="digits", images=(ImageRef(...),))
    """

    prompt_id: str
    question: str
    gold: Any
    verifier_type: str
    source: str
    images: tuple[ImageRef, ...] = ()
    verifier_params: dict[str, Any] = field(default_factory=dict)
    solution: str | None = None
    """A worked answer (`<think>…</think><answer>…</answer>`), where the data has one: what SFT trains on."""
    record_format: str = ""
    """The name of the record's format in `data.formats.registry.FORMATS`; empty for prompts that come from no file."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Other fields of the record, those that its reader was asked to keep."""

    @property
    def gold_text(self) -> str:
        """The gold as somebody would answer it: a text as it is, anything else as JSON."""
        return self.gold if isinstance(self.gold, str) else json.dumps(self.gold, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class Defect:
    """Why a record must not be trained on; `id` is the record's own, or its file and row."""

    id: str
    file: str
    row: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Some answers to a prompt and how good each is, as numbers that only compare: what reward models learn from."""

    prompt: Prompt
    answers: tuple[str, ...]
    worths: tuple[float, ...]


def prompt_of(record: Prompt | Preference) -> Prompt:
    """The prompt itself, or the one that the answers are to."""
    return record.prompt if isinstance(record, Preference) else record


@dataclass(frozen=True, kw_only=True, eq=False)
class Completion:
    """One sampled answer, token by token as the engine made it; never tokenised again."""

    text: str
    token_ids: np.ndarray  # [C] int32, with the stop token where there is one
    rollout_logprobs: np.ndarray  # [C] float32, of the distribution that was sampled from
    weight_versions: tuple[tuple[int, int, int], ...]  # (version, start, end) spans that cover [0, C)
    finish_reason: Literal["stop", "length"]

    @property
    def weight_version(self) -> int:
        """The oldest version that any token was sampled with."""
        return min(version for version, _, _ in self.weight_versions)


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledGroup:
    """The completions of one prompt, and the prompt's ids as the engine saw them."""

    prompt_token_ids: np.ndarray  # [T] int32, images expanded
    completions: tuple[Completion, ...]


@dataclass(frozen=True, kw_only=True)
class RewardResult:
    """A verifier's verdict: `value` in [0, 1], or None with `valid=False` (can't be judged, never averaged)."""

    value: float | None
    valid: bool
    extracted: str | None = None
    reason: str = ""
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """A completion and its reward; `advantage` is None until the group's advantages are known."""

    completion: Completion
    reward: RewardResult
    advantage: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """The G rollouts of one prompt. `position` is the prompt's place in the order of the run.

    A prompt that couldn't be sampled has no rollouts and says why in `failure`.
    """

    prompt: Prompt
    position: int
    prompt_token_ids: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    # [T] int32, with images expanded, as the engine saw them
    rollouts: tuple[Rollout, ...] = ()
    failure: str | None = None

    @property
    def weight_version(self) -> int:
        """The oldest version among the group's tokens."""
        return min(rollout.completion.weight_version for rollout in self.rollouts)


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizerStep:
    """What one rank does of one optimizer step, and the counts over the whole step that its loss is divided by."""

    groups: tuple[Group, ...]
    num_sequences: int
    """Samples of the step on all ranks, those without a gradient counted in."""
    num_tokens: int
    """Their tokens, overlong ones left out where they are masked."""
