"""What an OpenAI-compatible service answers: the text, the thought, why it ended, and the tokens that it counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_TOO_MANY_TOKENS = 1 << 31  # a count beyond it is not believed


@dataclass(frozen=True, kw_only=True)
class ChatReply:
    """The first choice of a chat completion; None for what the service did not send."""

    text: str | None
    thought: str | None
    """Thinking that the service sends apart from the text."""
    finish_reason: str
    refusal: Any = None
    input_tokens: int | None = None
    """The tokens of the prompt as the service counts them; None where its number can't be used."""
    output_tokens: int | None = None
    """The tokens of the answer as the service counts them; None where its number can't be used."""


def read_chat_reply(reply: Any) -> ChatReply:
    """Return the first choice of a chat completion.

    Raises ValueError if `reply` is not a chat completion.
    """
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        text, thought = message.get("content"), message.get("reasoning_content") or message.get("reasoning")
        refusal, finish = message.get("refusal"), str(choice.get("finish_reason") or "stop")
        usage = reply.get("usage")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a chat completion: {type(error).__name__}: {error}") from error
    if not isinstance(text, str | None) or not isinstance(thought, str | None):
        raise ValueError("not a chat completion: its content is not text")
    counts = usage if isinstance(usage, dict) else {}
    return ChatReply(
        text=text,
        thought=thought,
        finish_reason=finish,
        refusal=refusal,
        input_tokens=_count(counts.get("prompt_tokens")),
        output_tokens=_count(counts.get("completion_tokens")),
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _TOO_MANY_TOKENS else None
