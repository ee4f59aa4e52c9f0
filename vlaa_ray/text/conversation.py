r"""The conversation of a prompt: its system text, its earlier turns and its question.

spoken_turns(prompt)  -> (Spoken("user", (None, "How many?")), Spoken("assistant", ("6",)), Spoken("user", ("Why?",)))
as_one_text(prompt)   -> "user: <image>How many?\n\nassistant: 6\n\nuser: Why?"
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from vlaa_ray.records import Prompt, Turn
from vlaa_ray.text.placeholders import IMAGE, in_parts


class Spoken(NamedTuple):
    """A turn as a chat template takes it: who speaks, and the parts of the text, with None for each image."""

    role: str
    parts: tuple[str | None, ...]


def spoken_turns(prompt: Prompt, **facts: str) -> tuple[Spoken, ...]:
    """Return the earlier turns of a prompt and its question, in their order.

    Raises DataError with `facts` if a text has `<image>`, but not once for each of its images.
    """
    earlier = [Spoken(turn.role, in_parts(turn.text, turn.num_images, **facts)) for turn in prompt.history]
    question = in_parts(prompt.question, max(prompt.num_question_images, 0), **facts)
    return (*earlier, Spoken("user", question))


def texts_before(prompt: Prompt) -> list[tuple[str, str]]:
    """Return (what it is, text) for each text that the model reads before the question."""
    own = [("the system text", prompt.system)] if prompt.system else []
    return [*own, *(("an earlier turn", turn.text) for turn in prompt.history)]


def as_one_text(prompt: Prompt) -> str:
    """Return the question; if it has a system text or earlier turns, these stand above it, each with its speaker."""
    return one_text(prompt.question, prompt.num_question_images, prompt.system, prompt.history)


def one_text(question: str, num_images: int, system: str | None, history: Sequence[Turn]) -> str:
    """Return the text of `as_one_text` from its parts; `num_images` is the number of the question's own images."""
    if not system and not history:
        return question
    turns = [*history, Turn(role="user", text=question, num_images=num_images)]
    said = [f"{turn.role}: {_with_places(turn)}" for turn in turns]
    return "\n\n".join([f"system: {system}", *said] if system else said)


def _with_places(turn: Turn) -> str:
    return turn.text if IMAGE in turn.text else IMAGE * turn.num_images + turn.text


def context_json(prompt: Prompt) -> dict[str, Any]:
    """Return the keys `system` and `history` of a JSON object about the prompt; each only if the prompt has it.

    A turn is an object of `role`, `text` and `num_images`.
    """
    context: dict[str, Any] = {"system": prompt.system} if prompt.system else {}
    if prompt.history:
        context["history"] = [
            {"role": turn.role, "text": turn.text, "num_images": turn.num_images} for turn in prompt.history
        ]
    return context


def context_key(prompt: Prompt) -> tuple[str, ...]:
    """Return (the JSON of `context_json`,), to be hashed with a prompt; () if it has no system text and no history."""
    context = context_json(prompt)
    return (json.dumps(context),) if context else ()


def context_of(row: dict[str, Any]) -> tuple[str | None, tuple[Turn, ...]]:
    """Return (system text, earlier turns) of a JSON object with the keys of `context_json`.

    Raises ValueError if one of them has another form.
    """
    system, history = row.get("system"), row.get("history") or ()
    if not isinstance(system, str | None) or not isinstance(history, list | tuple):
        raise ValueError("`system` must be text, and `history` a list of turns")
    return system, tuple(_turn_of(turn) for turn in history)


def _turn_of(value: Any) -> Turn:
    turn = value if isinstance(value, dict) else {}
    role, text, num_images = turn.get("role"), turn.get("text"), turn.get("num_images", 0)
    if role not in ("user", "assistant") or not isinstance(text, str) or type(num_images) is not int or num_images < 0:
        raise ValueError("a turn of `history` must have `role` (user or assistant), `text` and `num_images`")
    return Turn(role=role, text=text, num_images=num_images)
