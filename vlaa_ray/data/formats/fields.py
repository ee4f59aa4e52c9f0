"""Reads the fields of a record (texts, mappings, answers) in the layouts that publishers use.

For example:

    untagged("<think>I count.</think><answer> 6 </answer>")  -> "6"
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from vlaa_ray.text.answers import last_boxed

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
