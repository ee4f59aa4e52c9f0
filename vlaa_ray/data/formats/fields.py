"""What the fields of a record hold: texts, images, and messages with both, however a publisher has put them there.

asked([{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]}])
-> ("<image>How many?", ("a.png",))
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from vlaa_ray.text.answers import last_boxed
from vlaa_ray.text.placeholders import IMAGE

Row = Mapping[str, Any]
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FENCED = re.compile(r"\A\s*```(?:json)?\s*(.*?)\s*```\s*\Z", re.DOTALL)


def identity_of(row: Row) -> str | None:
    """What the record calls itself, if it does."""
    return next((str(row[key]) for key in ("id", "qid", "prompt_id") if row.get(key) is not None), None)


def field_of(row: Row, name: str) -> Any:
    """The field that a dotted name leads to; None if the record has none."""
    value: Any = row
    for part in name.split("."):
        value = (mapping(value) or {}).get(part)
    return value


def mapping(value: Any) -> Row | None:
    """A mapping, or the one that a text holds, as a column of a table may; ValueError if it is damaged."""
    held = literal(value)
    if isinstance(held, str) and held.lstrip().startswith("{"):
        raise ValueError(f"neither JSON nor Python: {held[:80]!r}")
    return held if isinstance(held, Mapping) else None


def literal(text: Any) -> Any:
    """The list or mapping that a text holds as JSON or as Python prints it; anything else as it is."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return text
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ast.literal_eval(text)
    return text


def json_list(gold: Any) -> Any:
    """The list that a text of JSON holds, fenced or not; anything else as it is."""
    with suppress(ValueError, RecursionError):
        held = json.loads(_FENCED.sub(r"\1", gold)) if isinstance(gold, str) else None
        return held if isinstance(held, list) else gold
    return gold


def untagged(answer: Any) -> Any:
    """What a text holds between its last answer tags, or all of it; anything else as it is."""
    tagged = _ANSWER.findall(answer) if isinstance(answer, str) else []
    return tagged[-1].strip() if tagged else answer


def final(answer: Any) -> Any:
    """What an answer without a gold beside it comes to: what is tagged, or in its only box, or all of it."""
    said = untagged(answer)
    boxed = last_boxed(said) if isinstance(said, str) and said.count("boxed") == 1 else None
    return boxed or said


def text_of(value: Any) -> str:
    """A question as it is; ValueError if it is no text."""
    if not isinstance(value, str):
        raise ValueError(f"the question is no text but {type(value).__name__}")
    return value


def asked(messages: Any) -> tuple[str, tuple[Any, ...]]:
    """What the user asks in messages, or the JSON of them, and the images that are parts of it.

    A part {"type": "image", "image": …}, or OpenAI's image_url, becomes `<image>` in the text, unless that has its own.
    """
    messages = json.loads(messages) if isinstance(messages, str) else messages
    users = [message for message in messages if isinstance(message, Mapping) and message.get("role") == "user"]
    if len(users) != 1:
        raise ValueError(f"the prompt has {len(users)} messages of the user; one is read")
    content = users[0].get("content")
    if isinstance(content, str):
        return content, ()
    parts = [part for part in content or () if isinstance(part, Mapping)]
    place = "" if any(IMAGE in str(part.get("text")) for part in parts) else IMAGE
    question, images = "", []
    for part in parts:
        kind = part.get("type")
        if kind in ("image", "image_url"):
            question += place
            if part.get(kind) or part.get("url") or part.get("path"):
                images.append(part.get(kind) or part)
        elif kind == "video":
            raise ValueError("videos are not read")
        elif isinstance(part.get("text"), str):
            question += ("\n" if question and not question.endswith(IMAGE) else "") + part["text"]
    return question, tuple(images)


def first_turn(row: Row) -> tuple[str, Any, tuple[Any, ...]]:
    """(first question, first answer, the question's images) of a conversation in LLaVA's layout."""
    turns = [turn for turn in row["conversations"] if isinstance(turn, Mapping)]
    questions, answers = ([turn.get("value") for turn in turns if turn.get("from") == who] for who in ("human", "gpt"))
    if not questions or not answers:
        raise ValueError("the conversation lacks a human or a gpt turn")
    question, images = text_of(questions[0]), images_of(row)
    later = sum(str(other).count(IMAGE) for other in questions[1:])
    return question, answers[0], images[:-later] if later and question.count(IMAGE) + later == len(images) else images


def images_of(row: Row) -> tuple[Any, ...]:
    """The row's `images`, or its `image`, as it has them; none where both are missing or empty."""
    value = row.get("images")
    if value is None:
        value = row.get("image")
    if value is None:
        return ()
    value = literal(value)  # of CSV
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def path_of(image: Any) -> str:
    """The path that an image is named by; empty where it is not named by one."""
    path = image.get("path") if isinstance(image, Mapping) else image
    if not isinstance(path, str) or path.startswith("data:"):
        return ""
    path = path.removeprefix("file://")
    return "" if "://" in path else path


def folder_of(name: str) -> str:
    """The first folder of an image's path, which names the source; empty where it lies in none."""
    return name.partition("/")[0] if "/" in name else ""
