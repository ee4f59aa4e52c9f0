"""The sample that goes through the steps: its record, the texts that the teachers made from it, and where it ended."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

STEPS = ("caption", "distill", "rewrite", "verify")
"""The steps that ask a teacher, in the order in which they run."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture, a question and its gold. A text is empty until its step has made it.

    `use` is that of the source: "distill", "as_is" or "rl_only". `image` is a path relative to the run's `images/`.
    A sample that was dropped has the step in `dropped_at`, a short `reason` that other samples may share, and a
    `detail` of its own.
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
    """The worked answer on which SFT trains: `<think>…</think><answer>…</answer>`."""
    verdict: str = ""
    dropped_at: str = ""
    reason: str = ""
    detail: str = ""

    def with_(self, **changes: Any) -> Sample:
        """Return a copy of the sample with these fields changed."""
        return dataclasses.replace(self, **changes)

    def drop(self, step: str, reason: str, detail: str = "") -> Sample:
        """Return a copy of the sample that is marked as dropped; the detail is cut to 500 characters."""
        return self.with_(dropped_at=step, reason=reason, detail=detail[:500])

    def to_json(self) -> str:
        """Return the sample as one line of JSON; `from_json` makes an equal sample of it."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, line: str) -> Sample:
        """Return the sample from a line that `to_json` made."""
        return cls(**json.loads(line))
