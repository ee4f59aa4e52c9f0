"""The client of a reward model that several runs share over HTTP. `vlaa-ray reward-server` serves such a model.

The request and its reply:

    POST /score {"question", "images": [base64], "answers": [text]}
    -> {"scores": [number, or text if there is no score]}

A prompt with a system text or earlier turns adds "system", a text, and "history": [{"role", "text", "num_images"}].
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.errors import RewardError
from vlaa_ray.images.decode import encoded
from vlaa_ray.records import Prompt
from vlaa_ray.services.client import Service
from vlaa_ray.text.conversation import context_json


class RemoteRewardModel:
    """Implements `ScoreModel` with the server that `rewards.open_ended.service` names."""

    def __init__(self, section: OpenEndedSection) -> None:
        self._service = Service(section.service, "the reward model's server", "rewards.open_ended.service", RewardError)

    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """Return S of each answer, or a text that says why the answer has none.

        Raises Unanswered if the server can't score this prompt, and RewardError if it refuses all requests, is down
        for good, or is not a reward model's server.
        """
        body = {
            **context_json(prompt),
            "question": prompt.question,
            "images": [base64.b64encode(encoded(image)).decode() for image in prompt.images],
            "answers": list(answers),
        }
        reply = self._service.post("score", body)
        scores = reply.get("scores") if isinstance(reply, dict) else None
        if (
            isinstance(scores, list)
            and len(scores) == len(answers)
            and all(isinstance(score, str | int | float) for score in scores)
        ):
            return scores
        expected = f"{len(answers)} scores"
        raise RewardError("the reply is not that of a reward model's server", got=str(reply)[:200], expected=expected)

    def offload(self) -> None:
        """Do nothing, because the model is on the server."""
