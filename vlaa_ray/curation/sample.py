"""A sample on its way through the steps: what it began as, what each teacher made of it, and where it ended."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

STEPS = ("caption", "distill", "rewrite", "verify")
"""The steps that ask a teacher, in their order."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture, a question and its gold; texts are empty until their step has made them.

    `use` is the source's: "distill", "as_is" or "rl_only". `image` is relative to the run's `images/`. A sample that
    left the pipeline says at which `dropped_at` step, why in a few words that many share (`reason`), and what was
    special about it (`detail`).
    """

    index: int
    sample_id: str
    source: str
    use: str
    image: str
    image_sha256: str
    question: str
    gold: Any
    verifier_type: str
    verifier_params: dict[str, Any] = field(default_factory=dict)
    side_information: str = ""
    caption: str = ""
    distilled: str = ""
    rewritten: str = ""
    solution: str = ""
    """`<think>…</think><answer>…</answer>`: what SFT trains on."""
    verdict: str = ""
    dropped_at: str = ""
    reason: str = ""
    detail: str = ""

    def with_(self, **changes: Any) -> Sample:
        """The same sample with other values."""
        return dataclasses.replace(self, **changes)

    def drop(self, step: str, reason: str, detail: str = "") -> Sample:
        """The sample as it leaves the pipeline."""
        return self.with_(dropped_at=step, reason=reason, detail=detail[:500])

    def to_json(self) -> str:
        """One line; `from_json` gives an equal sample."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, line: str) -> Sample:
        """The sample of a line that `to_json` made."""
        return cls(**json.loads(line))
