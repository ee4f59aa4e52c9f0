"""Reads the fields of a record (texts, images, and messages with both) in the layouts that publishers use.

For example:

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
    """Return the record's own id: its `id`, `qid` or `prompt_id`, or None if it has none of them."""
    return next((str(row[key]) for key in ("id", "qid", "prompt_id") if row.get(key) is not None), None)


def field_of(row: Row, name: str) -> Any:
    """Return the value of a field by its dotted name, such as `meta.rationale`; None if the record lacks it.

    Raises ValueError if a field that holds it, such as `meta`, is damaged.
    """
    value: Any = row
    for part in name.split("."):
        value = (mapping(value) or {}).get(part)
    return value


def mapping(value: Any) -> Row | None:
    """Return the value if it is a mapping, or the mapping that a text holds as JSON or Python; None for anything else.

    Columns of tables often hold mappings as text. Raises ValueError if the text of a mapping can't be parsed.
    """
    parsed = literal(value)
    if isinstance(parsed, str) and parsed.lstrip().startswith("{"):
        raise ValueError(f"neither JSON nor Python: {parsed[:80]!r}")
    return parsed if isinstance(parsed, Mapping) else None


def literal(text: Any) -> Any:
    """Return the list or mapping that a text holds, as JSON or as Python prints it; any other value unchanged."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return text
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ast.literal_eval(text)
    return text


def json_list(gold: Any) -> Any:
    """Return the list that a text holds as JSON, with or without a Markdown fence; any other value unchanged."""
    with suppress(ValueError, RecursionError):
        parsed = json.loads(_FENCED.sub(r"\1", gold)) if isinstance(gold, str) else None
        return parsed if isinstance(parsed, list) else gold
    return gold


def untagged(answer: Any) -> Any:
    """Return the text between the last <answer> tags; a text without tags, or any other value, unchanged."""
    tagged = _ANSWER.findall(answer) if isinstance(answer, str) else []
    return tagged[-1].strip() if tagged else answer


def final(answer: Any) -> Any:
    r"""Return the final result of a worked answer, for records without a gold.

    It is the content of the only \boxed{…} in the part between <answer> tags, or that part, or the whole answer.
    """
    result = untagged(answer)
    boxed = last_boxed(result) if isinstance(result, str) and result.count("boxed") == 1 else None
    return boxed or result


def text_of(value: Any) -> str:
    """Return the question, unchanged. Raises ValueError if it is not text."""
    if not isinstance(value, str):
        raise ValueError(f"the question must be text, not {type(value).__name__}")
    return value


def asked(messages: Any) -> tuple[str, tuple[Any, ...]]:
    """Return (question, images) of the only user message in `messages`, which may also be given as JSON.

    An image part ({"type": "image", "image": …} or OpenAI's image_url) becomes `<image>` in the question, unless a text
    part has `<image>` already.

    Raises ValueError if `messages` does not have exactly one user message, or if that message has a video.
    """
    messages = json.loads(messages) if isinstance(messages, str) else messages
    users = [message for message in messages if isinstance(message, Mapping) and message.get("role") == "user"]
    if len(users) != 1:
        raise ValueError(f"the prompt has {len(users)} user messages; it must have exactly one")
    content = users[0].get("content")
    if isinstance(content, str):
        return content, ()
    parts = [part for part in content or () if isinstance(part, Mapping)]
    place = "" if any(IMAGE in str(part.get("text")) for part in parts) else IMAGE
    question, images = "", []
    for part in parts:
        part_type = part.get("type")
        if part_type in ("image", "image_url"):
            question += place
            if part.get(part_type) or part.get("url") or part.get("path"):
                images.append(part.get(part_type) or part)
        elif part_type == "video":
            raise ValueError("videos are not supported")
        elif isinstance(part.get("text"), str):
            question += ("\n" if question and not question.endswith(IMAGE) else "") + part["text"]
    return question, tuple(images)


def first_turn(row: Row) -> tuple[str, Any, tuple[Any, ...]]:
    """Return (first question, first answer, the question's images) of a conversation in LLaVA's layout.

    Raises ValueError if the conversation has no question or no answer.
    """
    turns = [turn for turn in row["conversations"] if isinstance(turn, Mapping)]
    questions, answers = ([turn.get("value") for turn in turns if turn.get("from") == who] for who in ("human", "gpt"))
    if not questions or not answers:
        raise ValueError("the conversation lacks a human or a gpt turn")
    question, images = text_of(questions[0]), images_of(row)
    later = sum(str(other).count(IMAGE) for other in questions[1:])
    return question, answers[0], images[:-later] if later and question.count(IMAGE) + later == len(images) else images


def images_of(row: Row) -> tuple[Any, ...]:
    """Return the row's `images`, or else its `image`, as they are; an empty tuple if it has neither."""
    value = row.get("images")
    if value is None:
        value = row.get("image")
    if value is None:
        return ()
    value = literal(value)  # CSV holds a list as text
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def path_of(image: Any) -> str:
    """Return the path of an image that is given by its path; empty if it is given by bytes or a web address."""
    path = image.get("path") if isinstance(image, Mapping) else image
    if not isinstance(path, str) or path.startswith("data:"):
        return ""
    path = path.removeprefix("file://")
    return "" if "://" in path else path


def folder_of(name: str) -> str:
    """Return the first folder of an image's path, which names the source; empty if the path has no folder."""
    return name.partition("/")[0] if "/" in name else ""
