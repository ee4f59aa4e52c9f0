"""A model behind an OpenAI-compatible endpoint, such as `vlaa-ray serve`."""

from __future__ import annotations

import json
from typing import Any

import httpx

from vlaa_ray.asking.reply import GeneratedText
from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import ModelError
from vlaa_ray.images.decode import chat_part, encoded
from vlaa_ray.records import Prompt
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.services.chat_reply import read_chat_reply
from vlaa_ray.services.client import Service, Unanswered
from vlaa_ray.services.secret import secret_in
from vlaa_ray.text.conversation import spoken_turns

_LIST_S = 10.0
_MAX_LIST_BYTES = 1 << 20
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
    parts = iter(prompt.images)
    content = [
        chat_part(encoded(next(parts))) if part is None else {"type": "text", "text": part}
        for part in spoken_turns(prompt)[-1].parts
    ]
    body = {
        "model": source.served_name or _first_model(source.path, api_key_env),
        "messages": [{"role": "user", "content": content}],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
    }
    service = Service(section, "the endpoint", "--model", ModelError)
    try:
        generated: GeneratedText = service.post("chat/completions", body, _generated)
    except Unanswered as error:
        raise ModelError(f"the endpoint gave no answer: {error}", url=source.path, fix=_FIX) from error
    return generated


def _first_model(url: str, api_key_env: str | None) -> str:
    """Return the first model that the endpoint lists."""
    secret = secret_in(api_key_env, "--api-key-env")
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    try:
        reply = httpx.get(f"{url}/models", headers=headers, timeout=_LIST_S)
        reply.raise_for_status()
        if len(reply.content) > _MAX_LIST_BYTES:
            raise ValueError("the list is too long")
        name = json.loads(reply.content)["data"][0]["id"]
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        message = f"the endpoint does not list its models: {error}"
        raise ModelError(message, url=url, fix=f"{_FIX}; URL#MODEL names a model") from error
    return str(name)


def _generated(reply: Any) -> GeneratedText:
    """Return the first choice of a chat completion; ValueError if the reply has another form."""
    said = read_chat_reply(reply)
    return GeneratedText(
        text=said.text or "",
        reasoning=said.thought or "",
        finish_reason=said.finish_reason,
        num_tokens=said.output_tokens,
    )
