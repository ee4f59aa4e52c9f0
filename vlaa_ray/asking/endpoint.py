"""A model behind an OpenAI-compatible endpoint, such as `vlaa-ray serve`."""

from __future__ import annotations

from typing import Any

from vlaa_ray.asking.reply import GeneratedText
from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import ModelError
from vlaa_ray.evaluation.samplers import chat_messages
from vlaa_ray.records import Prompt
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.services.chat_reply import read_chat_reply
from vlaa_ray.services.client import Service, Unanswered

_ATTEMPTS = 3
_FIX = "check that the server runs, that the URL ends with /v1, and the API key"


def ask_endpoint(
    source: ModelSource,
    prompt: Prompt,
    *,
    max_tokens: int,
    temperature: float,
    seed: int,
    deadline_s: float,
    api_key_env: str | None,
) -> GeneratedText:
    """Return what the endpoint's model generates. No system prompt is sent: the server has that of its model.

    The key is sent only if the environment variable `api_key_env` is set.

    Raises:
        ModelError: the endpoint can't be reached, refuses the request, or answers in another form.

    """
    section = ServiceSection(
        url=source.path,
        api_key_env=api_key_env,
        concurrency=1,
        timeout_s=deadline_s,
        max_attempts=_ATTEMPTS,
        give_up_s=min(deadline_s, 30.0),
    )
    service = Service(section, "the endpoint", "--model", ModelError)
    body = {
        "model": source.served_name or _first_model(service, source.path),
        "messages": chat_messages(prompt, None),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
    }
    try:
        generated: GeneratedText = service.post("chat/completions", body, _generated)
    except ModelError as error:  # the service speaks of the keys of a config
        raise ModelError(error.message, fix=_FIX, **error.facts) from error
    except Unanswered as error:
        raise ModelError(f"the endpoint gave no answer: {error}", url=source.path, fix=_FIX) from error
    return generated


def _first_model(service: Service, url: str) -> str:
    """Return the first model that the endpoint lists."""
    fix = f"{_FIX}; URL#MODEL names a model"
    try:
        names = service.models()
    except ModelError as error:
        raise ModelError(f"the endpoint does not list its models: {error.message}", url=url, fix=fix) from error
    if not names:
        raise ModelError("the endpoint does not list its models: its list is empty", url=url, fix=fix)
    return names[0]


def _generated(reply: Any) -> GeneratedText:
    """Return the first choice of a chat completion; ValueError if the reply has another form."""
    said = read_chat_reply(reply)
    return GeneratedText(
        text=said.text or "",
        reasoning=said.thought or "",
        finish_reason=said.finish_reason,
        num_tokens=said.output_tokens,
    )
