"""The chat template of an exported model: it puts in the system prompt of the training where the caller gives none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray.config import ModelSection
from vlaa_ray.errors import ModelError
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.records import ImageRef, Prompt, Turn
from vlaa_ray.text.conversation import spoken_turns

_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"}
_PICTURE = ImageRef(sha256="0" * 64, width_px=56, height_px=56)
_EARLIER = (Turn(role="user", text="Look.", num_images=1), Turn(role="assistant", text="<think>I do.</think> Yes"))
_PROBES: tuple[dict[str, Any], ...] = (
    {"question": "What is 7 × 6?"},
    {"question": "How many digits are there?", "images": (_PICTURE,)},
    {"question": "Is <image> larger than\n<image>?", "images": (_PICTURE, _PICTURE)},
    {"question": "And now?", "images": (_PICTURE,), "history": _EARLIER},
    {"question": "And now?", "images": (_PICTURE,), "system": "Answer in French."},
)
"""Conversations on which the template is compared with the token ids of the training."""


def with_system_prompt(template: str, system_prompt: str | None) -> str:
    """Return a Jinja chat template that puts `system_prompt` before conversations that don't begin with a system turn.

    It is one statement before the template, so that what the template does with a given system turn stays. The `+`
    keeps a line end with which the template may begin.
    """
    if not system_prompt:
        return template
    written = "".join(_ESCAPES.get(character, character) for character in system_prompt)
    turn = f"{{'role': 'system', 'content': [{{'type': 'text', 'text': '{written}'}}]}}"
    given = "messages and messages[0]['role'] == 'system'"
    return f"{{% set messages = messages if {given} else [{turn}] + messages +%}}{template}"


def check_template(processor: Any, model: ModelSection, path: Path) -> None:
    """Compare the token ids of the exported processor with those of the training, which come from `path`.

    Raises:
        ModelError: they differ, so that the exported model would be asked otherwise than it was trained.

    """
    chat = chat_format_of(model, path)
    for probe in _PROBES:
        prompt = Prompt(prompt_id="probe", gold="", verifier_type="text", source="export", **probe)
        text = processor.apply_chat_template(
            as_messages(prompt, model.system_prompt), add_generation_prompt=True, tokenize=False
        )
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids != chat.prompt_token_ids(prompt):
            message = "the chat template with the system prompt makes other tokens than the training did"
            raise ModelError(message, model=str(path), got=text[:500], fix="report this template as a bug")


def as_messages(prompt: Prompt, system_prompt: str | None) -> list[dict[str, Any]]:
    """Return a prompt as the messages of a chat, without the system prompt that the template puts in.

    Where the prompt has a system text of its own, it comes first and carries the system prompt below it.
    """
    messages = [
        {
            "role": turn.role,
            "content": [{"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts],
        }
        for turn in spoken_turns(prompt)
    ]
    if prompt.system:
        text = "\n\n".join(filter(None, (prompt.system.strip(), (system_prompt or "").strip())))
        return [{"role": "system", "content": [{"type": "text", "text": text}]}, *messages]
    return messages
