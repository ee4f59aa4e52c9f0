"""Reads messages and conversations, with text and pictures, in the layouts that publishers use.

    asked([{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]}])
    -> Asked("<image>How many?", ("a.png",), ())

A turn has `role` and `content`, or `from` and `value`; the user may be `human`, the assistant `gpt`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vlaa_ray.data.formats.fields import Row, text_of
from vlaa_ray.data.formats.pictures import images_of
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.data.reading_notes import EARLIER_TURNS, LATER_TURNS, SYSTEM_TEXT
from vlaa_ray.text.placeholders import IMAGE

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "question"), USER),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt", "ai", "answer"), ASSISTANT),
    **dict.fromkeys(("system", "developer"), SYSTEM),
    **dict.fromkeys(
        ("tool", "function", "observation", "function_call", "tool_call", "tool_response", "ipython"), TOOL
    ),
}
_MEDIA = {"video": "videos", "video_url": "videos", "audio": "sounds", "audio_url": "sounds", "input_audio": "sounds"}
_PICTURES = ("image", "image_url", "input_image", "image_path", "img")
_TEXTS = ("text", "input_text", "output_text")
_JSON = re.compile(r"\s*(?:\[\s*)?\{")


class Asked(NamedTuple):
    """A question, its images, and the parts of `reading_notes.UNSEEN` that stand beside it."""

    question: str
    images: tuple[Any, ...]
    unseen: tuple[str, ...]


class Exchange(NamedTuple):
    """The first question of a conversation, with its answer and its images, and what else the conversation has."""

    question: str
    answer: Any
    images: tuple[Any, ...]
    unseen: tuple[str, ...]


class _Turn(NamedTuple):
    role: str
    content: Any
    """A text, or a list of parts. The answer of a conversation may be any value: VLM-R1 has boxes there."""


def asked(messages: Any) -> Asked:
    """Return the only user message in `messages`, which may also be given as JSON, or be the question itself.

    An image part ({"type": "image", "image": …} or OpenAI's image_url) becomes `<image>` in the question, unless a text
    part has `<image>` already.

    Raises ValueError if `messages` does not have exactly one user message: the model is asked one question, without
    earlier turns. Raises it, too, for a video, a sound, or a part of unknown type.
    """
    if isinstance(messages, str) and not _JSON.match(messages):
        return Asked(messages, (), ())
    turns = turns_of(messages)
    users = [turn for turn in turns if turn.role == USER]
    if len(users) != 1:
        history = ": earlier turns can't be given to the model" if users else ""
        raise ValueError(f"the prompt has {len(users)} user messages; it must have exactly one{history}")
    question, images = parts_of(users[0].content)
    return Asked(question, images, _beside(turns, turns.index(users[0]), len(turns)))


def turns_of(messages: Any) -> list[_Turn]:
    """Return the turns of a list of messages, or of its JSON. Raises ValueError if a message has an unknown form."""
    messages = json.loads(messages) if isinstance(messages, str) else messages
    if isinstance(messages, Mapping):
        messages = [messages]
    if not isinstance(messages, list | tuple):
        raise ValueError(f"the messages must be a list, not {type(messages).__name__}")
    return [turn for message in messages for turn in _turns_in(message)]


def _turns_in(message: Any) -> Iterator[_Turn]:
    if not isinstance(message, Mapping):
        raise ValueError(f"a message must be a JSON object, not {type(message).__name__}")
    who = message.get("role") or message.get("from")
    if (
        who is None and "user" in message and "assistant" in message
    ):  # a question and its answer in one, as in FineVision
        yield _Turn(USER, message["user"])
        yield _Turn(ASSISTANT, message["assistant"])
        return
    role = _ROLES.get(str(who).strip().lower())
    if role is None:
        raise ValueError(f"a message of unknown role: {who!r}")
    if role == ASSISTANT and not is_missing(message.get("tool_calls")):
        role = TOOL
    content = message.get("content")
    yield _Turn(role, message.get("value") if content is None else content)


def _beside(turns: list[_Turn], question: int, after: int) -> tuple[str, ...]:
    """Return the parts of UNSEEN around the turn `question`; later turns are those from `after` on."""
    found = {
        SYSTEM_TEXT: any(turn.role == SYSTEM and not is_missing(turn.content) for turn in turns),
        EARLIER_TURNS: any(turn.role in (USER, ASSISTANT) for turn in turns[:question]),
        LATER_TURNS: any(turn.role in (USER, ASSISTANT) for turn in turns[after:]),
    }
    return tuple(name for name, is_there in found.items() if is_there)


def parts_of(content: Any) -> tuple[str, tuple[Any, ...]]:
    """Return (text, images) of the content of a message: a text, or a list of parts.

    Raises ValueError for a video, a sound, or a part of unknown type.
    """
    if isinstance(content, str):
        return content, ()
    parts = [content] if isinstance(content, Mapping) else content or ()
    if not isinstance(parts, list | tuple):
        return text_of(content), ()
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | Mapping)]
    place = "" if any(IMAGE in text for text in texts if isinstance(text, str)) else IMAGE
    question, images = "", []
    for part in parts:
        text, image = _part(part)
        if text is None:
            question += place
            images += [] if image is None else [image]
        else:
            question += ("\n" if question and not question.endswith(IMAGE) else "") + text
    return question, tuple(images)


def _part(part: Any) -> tuple[str | None, Any]:
    """Return (text, None) of a part with text, or (None, image) of one with a picture.

    The image is None where the part is only the place of a picture that stands elsewhere in the record.
    """
    if isinstance(part, str):
        return part, None
    if not isinstance(part, Mapping):
        raise ValueError(f"a message part must be a JSON object, not {type(part).__name__}")
    kind = part.get("type")
    if kind is None:  # named by its key alone, as in the cookbooks of Qwen3-VL
        kind = next((key for key in (*_TEXTS, *_PICTURES, *_MEDIA) if not is_missing(part.get(key))), None)
        if kind is None and isinstance(part.get("text"), str):
            kind = "text"
    if kind in _TEXTS and isinstance(text := part.get("text", part.get(str(kind))), str):
        return text, None
    if kind in _PICTURES:
        return None, _image_in(part, str(kind))
    if kind in _MEDIA:
        raise ValueError(f"{_MEDIA[str(kind)]} are not supported")
    if kind is None:
        raise ValueError(f"a message part without a type, with the keys {sorted(map(str, part))}")
    raise ValueError(f"a message part of unknown type: {kind!r}")


def _image_in(part: Mapping[str, Any], kind: str) -> Any:
    for key in (kind, *_PICTURES, "url", "path", "bytes"):
        if not is_missing(value := part.get(key)):
            return {"bytes": value} if key == "bytes" else value
    source = part.get("source")
    return (source.get("url") or {"bytes": source.get("data")}) if isinstance(source, Mapping) else None


def first_exchange(row: Row, column: str) -> Exchange:
    """Return the first question of the conversation in a column, the answer behind it, and the question's images.

    Images are those of the question's parts, or else the row's, without those of later questions.

    Raises ValueError if the conversation has no question, or no answer behind it.
    """
    turns = turns_of(row[column])
    first = next((place for place, turn in enumerate(turns) if turn.role == USER), None)
    answer = next((place for place in range(first or 0, len(turns)) if turns[place].role == ASSISTANT), None)
    if first is None or answer is None:
        raise ValueError("the conversation lacks a human or a gpt turn: a question, and an answer behind it")
    between = turns[first:answer]
    if any(turn.role == TOOL for turn in between):
        raise ValueError("the answer follows the call of a tool, which can't be made here")
    read = [parts_of(turn.content) for turn in between if turn.role == USER]
    question = "\n".join(text for text, _ in read)
    images = tuple(image for _, some in read for image in some) or images_of(row)
    later = sum(str(turn.content).count(IMAGE) for turn in turns[answer:] if turn.role == USER)
    if later and question.count(IMAGE) + later == len(images):
        images = images[:-later]
    return Exchange(question, _answer(turns[answer].content), images, _beside(turns, first, answer + 1))


def _answer(content: Any) -> Any:
    """Return the text of an answer in parts; any other value unchanged, such as the boxes of VLM-R1."""
    in_parts = isinstance(content, list) and content and isinstance(content[0], Mapping) and "type" in content[0]
    return parts_of(content)[0] if in_parts else content


def answer_text(value: Any) -> Any:
    """Return the text of an answer that is given as text, as a message, or as messages of which it is the last.

    Any other value is returned unchanged. Raises ValueError if the messages have an unknown form.
    """
    if isinstance(value, Mapping) and ("role" in value or "from" in value):
        value = [value]
    if not (isinstance(value, list | tuple) and value and isinstance(value[0], Mapping)):
        return value
    if not ("role" in value[0] or "from" in value[0]):
        return value
    last = turns_of(value)[-1]
    return parts_of(last.content)[0] if last.role == ASSISTANT else None
