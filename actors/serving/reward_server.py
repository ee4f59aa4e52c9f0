"""A reward model on Ray Serve, which several runs can share: POST /score, as in `rewards.scorers.remote`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from typing import Any

import ray
from pydantic import SecretStr
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from actors.process.own_ray import start_own_ray
from actors.process.replica_sockets import listen_on_node_address
from vlaa_ray.config import OpenEndedSection
from vlaa_ray.errors import DataError

_APP = "vlaa-ray-reward-model"
_MAX_ANSWERS = 256


class RewardServer:
    """One replica: it holds the model and answers requests. With a token, requests without it get status 401."""

    def __init__(self, section: OpenEndedSection, token: SecretStr | None) -> None:
        from vlaa_ray.compat.cpu_wheels import register

        listen_on_node_address()
        register()
        from vlaa_ray.rewards.scorers import score_model

        self._token = token
        self._model = score_model(section)

    def check_health(self) -> None:
        """Return without an error, which tells Ray Serve that the replica is healthy."""

    def score(
        self, question: str, images: list[bytes], answers: list[str], context: dict[str, Any] | None = None
    ) -> list[float | str]:
        """Return the score of each answer, or a sentence that says why it has no score.

        Raises:
            DataError: a picture can't be read.
            ValueError: `context` has a `system` or a `history` of another form than `context_json` makes.

        """
        from vlaa_ray.images.decode import reference_of
        from vlaa_ray.records import Prompt
        from vlaa_ray.text.conversation import context_of

        system, history = context_of(context or {})
        prompt = Prompt(
            prompt_id="request",
            question=question,
            gold="",
            verifier_type="open_ended",
            source="request",
            images=tuple(reference_of(image) for image in images),
            system=system,
            history=history,
        )
        return self._model.scores(prompt, answers)

    async def __call__(self, request: Request) -> JSONResponse:
        """Return the reply to one request: the scores, status 401 without the token, or status 422 for a wrong body."""
        if not is_authorised(request.headers.get("authorization", ""), self._token):
            return JSONResponse({"error": "the token is missing or wrong"}, status_code=401)
        try:
            body = await request.json()
            images = [base64.b64decode(image, validate=True) for image in body["images"]]
            question, answers = body["question"], body["answers"]
            texts = [question, *answers]
            if not all(isinstance(text, str) for text in texts) or not 0 < len(answers) <= _MAX_ANSWERS:
                raise ValueError(f"question and 1 to {_MAX_ANSWERS} answers must be text")
            scores = await asyncio.to_thread(self.score, question, images, answers, body)
        except (ValueError, LookupError, TypeError, binascii.Error, DataError) as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return JSONResponse({"scores": scores})


def is_authorised(header: str, token: SecretStr | None) -> bool:
    """Return True if the `Authorization` header holds the token, or if no token is needed."""
    if token is None:
        return True
    return hmac.compare_digest(header.encode(), f"Bearer {token.get_secret_value()}".encode())


def serve_reward_model(
    section: OpenEndedSection,
    *,
    num_replicas: int,
    host: str,
    port: int,
    token: SecretStr | None,
    address: str | None,
    gpus: float,
) -> None:
    """Serve until interrupted, on the Ray cluster at `address`, or on a new local one for None."""
    options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus}
    if address:
        ray.init(address=address)
    else:
        start_own_ray()
    serve.start(http_options={"host": host, "port": port})
    deployment = serve.deployment(num_replicas=num_replicas, ray_actor_options=options)(RewardServer)
    serve.run(deployment.bind(section, token), name=_APP, route_prefix="/score")
    asks = "with a token" if token else "without a token"
    print(f"Serving at http://{host}:{port}/score, {asks}", flush=True)  # noqa: T201 - for the person who started it
    while True:
        time.sleep(3600)
