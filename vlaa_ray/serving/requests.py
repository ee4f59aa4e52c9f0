"""A chat request in OpenAI's form: checked against the limits, and made into what the engine is asked.

A field that this server does not know is refused: it could change the prompt or the pixels from those of the training.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vlaa_ray.config.serving import LimitsSection
from vlaa_ray.errors import DataError
from vlaa_ray.serving.pictures import Pictures
from vlaa_ray.serving.refusals import RequestRefused

PASSED_ON = frozenset(
    "model messages max_tokens max_completion_tokens temperature top_p top_k min_p n stop stop_token_ids stream "
    "stream_options seed logprobs top_logprobs logit_bias presence_penalty frequency_penalty repetition_penalty "
    "min_tokens ignore_eos include_reasoning skip_special_tokens".split()
)
"""The fields that reach the engine."""
WITHOUT_EFFECT = frozenset(
    "user metadata store service_tier safety_identifier prompt_cache_key prompt_cache_retention parallel_tool_calls "
    "reasoning_effort verbosity modalities".split()
)
"""The fields that clients send to other servers; they are taken and change nothing."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
}
_SYSTEM_ROLES = ("system", "developer")
_ROLES = (*_SYSTEM_ROLES, "user", "assistant")
_TOO_LONG = "text_too_long"


@dataclass(frozen=True, kw_only=True)
class RequestRules:
    """What requests are checked against."""

    model: str
    """The name of the model that is served."""
    system_prompt: str | None
    """The system prompt of the model's training."""
    limits: LimitsSection
    """The limits of the config."""
    refuse_control_tokens: Callable[[str, str], None]
    """Raises DataError for a text with control tokens of the model; the second argument names the text."""


class RequestReader:
    """Checks requests and rewrites them; it may be used from several threads."""

    def __init__(self, rules: RequestRules, pictures: Pictures) -> None:
        self._rules, self._limits, self._pictures = rules, rules.limits, pictures

    def read(self, body: bytes) -> dict[str, Any]:
        """Return the request for the engine: known fields, the training's system prompt, images as `data:` URLs.

        Raises:
            RequestRefused: the body is no JSON, the model is another one, or a limit is exceeded; it says which.

        """
        request = _parsed(body)
        self._check_model(request.get("model"))
        request = _known_fields(request)
        self._check_numbers(request)
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            raise _wrong("messages must be a list with at least one message", "messages")
        if len(messages) > self._limits.max_messages:
            raise _wrong(f"{len(messages)} messages; at most {self._limits.max_messages} are taken", "messages")
        budget = _Budget(self._limits)
        read = [self._message(message, f"messages[{index}]", budget) for index, message in enumerate(messages)]
        if read[-1]["role"] != "user":
            raise _wrong("the last message must be the user's: the model answers it", "messages")
        return {**request, "messages": self._with_system_prompt(read)}

    def _check_model(self, model: Any) -> None:
        if model not in (None, self._rules.model):
            message = f"no model {str(model)[:200]!r} is served here"
            fix = f"use the model {self._rules.model!r}"
            raise RequestRefused(message, status=404, code="model_not_found", param="model", fix=fix)

    def _check_numbers(self, request: dict[str, Any]) -> None:
        limits = {
            "max_tokens": self._limits.max_completion_tokens,
            "max_completion_tokens": self._limits.max_completion_tokens,
            "min_tokens": self._limits.max_completion_tokens,
            "n": self._limits.max_choices,
        }
        for field, most in limits.items():
            value = request.get(field)
            least = 0 if field == "min_tokens" else 1
            if value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= most):
                continue
            raise _wrong(f"{field} must be a whole number from {least} to {most}, got {str(value)[:40]}", field)

    def _message(self, message: Any, param: str, budget: _Budget) -> dict[str, Any]:
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise _wrong(f"a message must have one of the roles {', '.join(_ROLES)}", f"{param}.role")
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list) or not content:
            raise _wrong("content must be a text, or a list of parts (text, image_url)", f"{param}.content")
        where = f"{param}.content"
        parts = [self._part(part, role, f"{where}[{index}]", budget) for index, part in enumerate(content)]
        return {"role": "system" if role in _SYSTEM_ROLES else role, "content": parts}

    def _part(self, part: Any, role: str, param: str, budget: _Budget) -> dict[str, Any]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            return {"type": "text", "text": self._text(part["text"], param, budget)}
        if kind != "image_url":
            raise _wrong(f"a part must be text or image_url, got {str(kind)[:40]!r}", param, code="unsupported_content")
        if role != "user":
            raise _wrong("only messages of the user may hold images", param, code="unsupported_content")
        source = part.get("image_url")
        url = source.get("url") if isinstance(source, dict) else source
        if not isinstance(url, str):
            raise _wrong("image_url must be an object with a url", param)
        budget.add_image(param)
        return {"type": "image_url", "image_url": {"url": self._pictures.url_for_engine(url, param)}}

    def _text(self, text: str, param: str, budget: _Budget) -> str:
        budget.add_text(text, param)
        try:
            self._rules.refuse_control_tokens(text, "the text")
        except DataError as error:
            raise _wrong(error.message, param, code="control_token") from error
        return text

    def _with_system_prompt(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the messages with the training's system prompt, below the request's own as in the training."""
        trained = (self._rules.system_prompt or "").strip()
        if not self._rules.system_prompt or not trained:
            return messages
        if messages[0]["role"] != "system":
            return [_system(self._rules.system_prompt), *messages]
        own = "".join(part["text"] for part in messages[0]["content"]).strip()
        return [_system(own if trained in own else f"{own}\n\n{trained}"), *messages[1:]]


class _Budget:
    """What is left of the limits that hold for all messages of a request together."""

    def __init__(self, limits: LimitsSection) -> None:
        self._limits, self._images, self._chars = limits, 0, 0

    def add_image(self, param: str) -> None:
        self._images += 1
        if self._images > self._limits.max_images:
            message = f"the request has more than {self._limits.max_images} images"
            raise _wrong(message, param, code="too_many_images")

    def add_text(self, text: str, param: str) -> None:
        self._chars += len(text)
        if self._chars > self._limits.max_text_chars:
            message = f"the texts have more than {self._limits.max_text_chars:,} characters together"
            raise _wrong(message, param, code=_TOO_LONG)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"the body is no JSON: {error}", None) from error
    if not isinstance(request, dict):
        raise _wrong("the body must be a JSON object", None)
    return request


def _known_fields(request: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for the engine that have a value."""
    known = {}
    for field, value in request.items():
        if value is None or field in WITHOUT_EFFECT or value in _NEUTRAL.get(field, ()):
            continue
        if field in _NEUTRAL:
            message = f"this server has no tools and no structured answers: {field} can't be used"
            raise _wrong(message, field, code="unsupported_parameter")
        if field not in PASSED_ON:
            raise _wrong(f"the field {field[:60]!r} can't be used here", field[:60], code="unknown_parameter")
        known[field] = value
    return known


def _system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": [{"type": "text", "text": text}]}


def _wrong(message: str, param: str | None, code: str = "invalid_value") -> RequestRefused:
    return RequestRefused(message, code=code, param=param)
