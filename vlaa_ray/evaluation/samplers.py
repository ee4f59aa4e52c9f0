"""Where answers come from: the engines of this run, or a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from vlaa_ray.config import EndpointSection
from vlaa_ray.errors import DataError, RolloutError
from vlaa_ray.images.decode import chat_part, encoded
from vlaa_ray.records import Prompt
from vlaa_ray.roles import RolloutRole, SampleRequest
from vlaa_ray.services.chat_reply import read_chat_reply
from vlaa_ray.services.client import Service, Unanswered
from vlaa_ray.text.answers import CLOSE, OPEN
from vlaa_ray.text.conversation import spoken_turns

_MAX_CHARS = 1 << 20  # of one answer


class GivenAnswer(NamedTuple):
    """One answer: its text, why it ended, and its length."""

    text: str
    finish_reason: str
    num_tokens: int


class Sampler(Protocol):
    """What asks the model."""

    async def answers(self, request: SampleRequest) -> list[GivenAnswer]:
        """Return `num_samples` answers to one prompt.

        Raises:
            DataError: this prompt gets no answer; others may.

        """

    def close(self) -> None:
        """Ask nothing more."""


class EngineSampler:
    """The engines of this run as a `Sampler`."""

    def __init__(self, rollouts: RolloutRole) -> None:
        self._rollouts = rollouts

    async def answers(self, request: SampleRequest) -> list[GivenAnswer]:
        """See `Sampler`."""
        group = await self._rollouts.sample(request)
        return [
            GivenAnswer(completion.text, completion.finish_reason, len(completion.token_ids))
            for completion in group.completions
        ]

    def close(self) -> None:
        """See `Sampler`."""


class EndpointSampler:
    """A model behind an OpenAI-compatible endpoint as a `Sampler`. It sends one request for each sample.

    Raises RolloutError if the endpoint lists no models and none is named, if it refuses all requests, or if it is down
    for good.
    """

    def __init__(self, section: EndpointSection, system_prompt: str | None) -> None:
        self._service = Service(section, "the endpoint", "endpoint", RolloutError)
        self._system_prompt = system_prompt
        self.model = section.model or self._first_model()
        """The name of the model at the endpoint."""
        self._threads = ThreadPoolExecutor(section.concurrency, thread_name_prefix="endpoint")

    async def answers(self, request: SampleRequest) -> list[GivenAnswer]:
        """See `Sampler`."""
        body = await asyncio.to_thread(self._body, request)
        loop = asyncio.get_running_loop()
        seeds = range(request.seed, request.seed + request.num_samples)
        asked = [loop.run_in_executor(self._threads, self._ask, {**body, "seed": seed}) for seed in seeds]
        try:
            return list(await asyncio.gather(*asked))
        except Unanswered as error:
            raise DataError(f"the endpoint gives no answer: {error}", prompt_id=request.prompt.prompt_id) from error

    def close(self) -> None:
        """See `Sampler`."""
        self._service.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _first_model(self) -> str:
        names = self._service.models()
        if not names:
            raise RolloutError("the endpoint has no model", fix="name one: --model URL#MODEL")
        return names[0]

    def _ask(self, body: dict[str, Any]) -> GivenAnswer:
        sample: GivenAnswer = self._service.post("chat/completions", body, read=_read)
        return sample

    def _body(self, request: SampleRequest) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": chat_messages(request.prompt, self._system_prompt),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_completion_tokens,
        }


def chat_messages(prompt: Prompt, system_prompt: str | None) -> list[dict[str, Any]]:
    """Return a prompt as the messages of OpenAI's API, its pictures as `data:` URLs.

    The record's own system text stands above the run's system prompt.

    Raises:
        DataError: a picture can't be read, or the places of the pictures don't match.

    """
    system = "\n\n".join(text for text in (prompt.system, system_prompt) if text)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    pictures = iter(prompt.images)
    for turn in spoken_turns(prompt, prompt_id=prompt.prompt_id):
        parts = [
            chat_part(encoded(next(pictures))) if part is None else {"type": "text", "text": part}
            for part in turn.parts
            if part is None or part
        ]
        messages.append({"role": turn.role, "content": _content(parts)})
    return messages


def _content(parts: Sequence[dict[str, Any]]) -> Any:
    """Return text alone as text: some endpoints take no list of parts in an answer."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else list(parts)


def _read(reply: Any) -> GivenAnswer:
    """Return the answer in a chat completion as the model wrote it.

    A service that sends the thinking apart has taken the tags away. Both parts get them back, for verifiers need them.

    Raises ValueError if `reply` is not a chat completion.
    """
    said = read_chat_reply(reply)
    text = said.text or ""
    if said.thought:
        answer = f"{OPEN}{text}{CLOSE}" if text and OPEN not in text else text
        text = f"<think>{said.thought}</think>{answer}"
    return GivenAnswer(text[:_MAX_CHARS], said.finish_reason, said.output_tokens or 0)
