"""Reads messages and conversations, with text and pictures, in the layouts that publishers use.

    asked([{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]}])
    -> Asked("<image>How many?", ("a.png",))

A turn has `role` and `content`, or `from` and `value`; the user may be `human`, the assistant `gpt`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from vlaa_ray.data.formats.fields import Row, text_of
from vlaa_ray.data.formats.pictures import images_of
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.data.reading_notes import LATER_TURNS, TOOLS
from vlaa_ray.records import Turn
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
Fields = dict[str, Any]
_JSON = re.compile(r"\s*(?:\[\s*)?\{")


class Asked(NamedTuple):
    """A question, with what the model reads before it, and the parts of `reading_notes.UNSEEN` that stand beside it.

    `images` are those of all turns, and empty where the record holds its images elsewhere.
    """

    question: str
    images: tuple[Any, ...] = ()
    history: tuple[Turn, ...] = ()
    system: str | None = None
    unseen: tuple[str, ...] = ()

    def fields(self) -> Fields:
        """Return the fields of a draft for what stands around the question, and its images if it has any."""
        fields: Fields = {"history": self.history, "system": self.system, "unseen": self.unseen}
        return fields | ({"images": self.images} if self.images else {})


class Exchange(NamedTuple):
    """The last question of a conversation that has an answer, with all images that are shown, and that answer."""

    asked: Asked
    answer: Any


class _Turn(NamedTuple):
    role: str
    content: Any
    """A text, or a list of parts. The answer of a conversation may be any value: VLM-R1 has boxes there."""


def asked(messages: Any) -> Asked:
    """Return the last user message in `messages`, which may also be given as JSON, or be the question itself.

    The turns before it are its history. An image part ({"type": "image", "image": …} or OpenAI's image_url) becomes
    `<image>` in the text, unless a text part has `<image>` already.

    Raises ValueError if there is no user message, if a tool was called before the question, or for a video, a sound,
    or a part of unknown type.
    """
    if isinstance(messages, str) and not _JSON.match(messages):
        return Asked(messages)
    turns = turns_of(messages)
    spoken = [turn for turn in turns if turn.role != SYSTEM]
    last = max((place for place, turn in enumerate(spoken) if turn.role == USER), default=None)
    if last is None:
        raise ValueError("the prompt has 0 user messages; it must have at least one")
    if any(turn.role == TOOL for turn in spoken[:last]):
        raise ValueError("the question follows the call of a tool, which can't be made here")
    return _asked_at(spoken[: last + 1], system_of(turns))


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


def system_of(turns: Sequence[_Turn]) -> str | None:
    """Return the text of all system messages; None without any. Raises ValueError if one of them holds a picture."""
    read = [parts_of(turn.content) for turn in turns if turn.role == SYSTEM]
    if any(images for _, images in read):
        raise ValueError("the system message holds a picture; it can only be text")
    return joined_system(*(text for text, _ in read))


def joined_system(*texts: str | None) -> str | None:
    """Return the system texts that say something, each once, a blank line between them; None without any."""
    return "\n\n".join(dict.fromkeys(text.strip() for text in texts if text and text.strip())) or None


def history_of(turns: Sequence[_Turn]) -> tuple[tuple[Turn, ...], tuple[Any, ...]]:
    """Return (turns before a question, their images). Their `num_images` is not known yet.

    Raises ValueError if a turn is neither the user's nor the assistant's.
    """
    read = [_said(turn) for turn in turns]
    return tuple(turn for turn, _ in read), tuple(image for _, images in read for image in images)


def _said(turn: _Turn) -> tuple[Turn, tuple[Any, ...]]:
    if turn.role == USER:
        text, images = parts_of(turn.content)
        return Turn(role="user", text=text), images
    if turn.role != ASSISTANT:
        raise ValueError(f"an earlier turn is that of a {turn.role}; only a user and an assistant can be shown")
    if _has_parts(turn.content):
        text, images = parts_of(turn.content)
        return Turn(role="assistant", text=text), images
    said = "" if turn.content is None else turn.content
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)
    return Turn(role="assistant", text=text), ()


def _asked_at(turns: Sequence[_Turn], system: str | None, unseen: tuple[str, ...] = ()) -> Asked:
    """Return the question that the user turns at the end of `turns` make, after the turns before them."""
    start = len(turns)
    while start and turns[start - 1].role == USER:
        start -= 1
    history, images = history_of(turns[:start])
    read = [parts_of(turn.content) for turn in turns[start:]]
    own = (image for _, some in read for image in some)
    return Asked("\n".join(text for text, _ in read), (*images, *own), history, system, unseen)


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


def last_exchange(row: Row, column: str) -> Exchange:
    """Return the last question of the conversation in a column that has an answer, and the answer behind it.

    Turns after the answer are not shown, nor is anything from the first call of a tool on. Images are those of the
    parts, or else the row's, without those of later questions.

    Raises ValueError if the conversation has no question with an answer behind it.
    """
    turns = turns_of(row[column])
    spoken = [turn for turn in turns if turn.role != SYSTEM]
    tool = next((place for place, turn in enumerate(spoken) if turn.role == TOOL), len(spoken))
    answers = [place for place in range(1, tool) if spoken[place].role == ASSISTANT and spoken[place - 1].role == USER]
    if not answers:
        if any(turn.role == USER for turn in spoken[:tool]) and any(turn.role == ASSISTANT for turn in spoken[tool:]):
            raise ValueError("the answer follows the call of a tool, which can't be made here")
        raise ValueError("the conversation lacks a human or a gpt turn: a question, and an answer behind it")
    answer = next((place for place in reversed(answers) if not is_missing(spoken[place].content)), answers[-1])
    later = spoken[answer + 1 :]
    roles = {turn.role for turn in later}
    unseen = (LATER_TURNS,) * bool(roles & {USER, ASSISTANT}) + (TOOLS,) * (TOOL in roles)
    asked = _asked_at(spoken[:answer], system_of(turns), unseen)
    return Exchange(asked._replace(images=_shown(asked, later, row)), _answer(spoken[answer].content))


def _shown(asked: Asked, later: Sequence[_Turn], row: Row) -> tuple[Any, ...]:
    """Return the images of the turns, or else the row's, without those of the turns after the answer."""
    images = asked.images or images_of(row)
    num_later = sum(str(turn.content).count(IMAGE) for turn in later if turn.role == USER)
    num_shown = sum(text.count(IMAGE) for text in (asked.question, *(turn.text for turn in asked.history)))
    return images[:num_shown] if num_later and num_shown + num_later == len(images) else images


def _answer(content: Any) -> Any:
    """Return the text of an answer in parts; any other value unchanged, such as the boxes of VLM-R1."""
    return parts_of(content)[0] if _has_parts(content) else content


def _has_parts(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and isinstance(content[0], Mapping) and "type" in content[0]


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
