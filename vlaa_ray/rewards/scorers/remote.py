"""A reward model that several runs share, behind HTTP: what `vlaa-ray reward-server` serves.

POST /score {"question", "images": [base64], "answers": [text]} -> {"scores": [number, or in words why there is none]}
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.errors import RewardError
from vlaa_ray.images.decode import encoded
from vlaa_ray.records import Prompt
from vlaa_ray.services.client import Service


class RemoteRewardModel:
    """Implements `ScoreModel`."""

    def __init__(self, section: OpenEndedSection) -> None:
        self._service = Service(section.service, "the reward model's server", "rewards.open_ended.service", RewardError)

    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """S of each answer, or in words why it has none; Unanswered where the server can't score this prompt."""
        body = {
            "question": prompt.question,
            "images": [base64.b64encode(encoded(image)).decode() for image in prompt.images],
            "answers": list(answers),
        }
        reply = self._service.post("score", body)
        scores = reply.get("scores") if isinstance(reply, dict) else None
        if (
            isinstance(scores, list)
            and len(scores) == len(answers)
            and all(isinstance(one, str | int | float) for one in scores)
        ):
            return scores
        raise RewardError("not the reply of a reward model's server", got=str(reply)[:200], expected=len(answers))

    def offload(self) -> None:
        """The server has its own GPU."""
