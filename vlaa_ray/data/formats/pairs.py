"""Reads records that compare two answers, in the layouts of DPO and of reward models.

For example:

    read_pair({"image": "a.png", "prompt": "<image>How many?", "chosen": "six", "rejected": "four"})
    -> AnswerPair({"question": "<image>How many?", "image": "a.png", "gt": "six", …}, "six", "four", ())

Earlier turns and a system message become the columns `history` and `system` of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from vlaa_ray.data.formats.messages import ASSISTANT, USER, Asked, answer_text, asked, joined_system, turns_of
from vlaa_ray.data.formats.tracked_row import is_missing

_CHOSEN = ("chosen", "chosen_response", "chosen_answer", "response")
_REJECTED = ("rejected", "rejected_response", "rejected_answer")
_PROMPTS = ("prompt", "query", "problem", "instruction")
_DIALOGUES = ("messages", "conversations")
_PICTURES = ("image", "images")


class AnswerPair(NamedTuple):
    """A row that `read_record` reads as a question with the better answer as its gold, and both answers."""

    row: dict[str, Any]
    chosen: str
    rejected: str
    unseen: tuple[str, ...]
    """The parts of `reading_notes.UNSEEN` that the record's messages have."""


def read_pair(row: dict[str, Any]) -> AnswerPair:
    """Return the pair of a row.

    The answers are texts, messages, or lists of messages that end with the answer. The question stands in `question`,
    in `prompt` or a column like it, in `messages` or `conversations`, or before the better answer.

    Raises ValueError if the row lacks one of the answers or the question, or if both answers are the same or one is
    blank.
    """
    better, worse = (next((row[name] for name in names if not is_missing(row.get(name))), None) for names in _SIDES)
    dialogue = next((name for name in _DIALOGUES if not is_missing(row.get(name))), None)
    turns = turns_of(row[dialogue]) if dialogue else []
    if better is None and turns and turns[-1].role == ASSISTANT:  # as ms-swift writes pairs
        better = turns[-1].content
    chosen, rejected = answer_text(better), answer_text(worse)
    if not (isinstance(chosen, str) and isinstance(rejected, str)):
        raise ValueError("a pair needs two texts")
    if not chosen.strip() or not rejected.strip():
        raise ValueError("an answer of the pair is blank")
    if chosen.strip() == rejected.strip():
        raise ValueError("both answers of the pair are the same")
    prompt = _asked(row, row[dialogue] if dialogue else None, better)
    used = {*_CHOSEN, *_REJECTED, *_PROMPTS, *_DIALOGUES, "input"}
    kept = {name: value for name, value in row.items() if name not in used}
    if prompt.images and all(is_missing(row.get(name)) for name in _PICTURES):
        kept["images"] = list(prompt.images)
    elif not any(name in kept for name in _PICTURES):
        kept["image"] = None
    if prompt.history:
        if not is_missing(row.get("history")):
            raise ValueError("the record has earlier turns twice, in `history` and in its messages")
        kept["history"] = [{"role": turn.role, "content": turn.text} for turn in prompt.history]
    if prompt.system:
        kept["system"] = joined_system(row.get("system"), prompt.system)
    made = {"verifier_type": "open_ended", **kept, "question": prompt.question, "gt": chosen}
    return AnswerPair(made, chosen, rejected, prompt.unseen)


_SIDES = (_CHOSEN, _REJECTED)


def _asked(row: Mapping[str, Any], dialogue: Any, better: Any) -> Asked:
    if "question" in row:
        return Asked(row["question"])
    name = next((name for name in _PROMPTS if not is_missing(row.get(name))), None)
    if name is not None:
        prompt = asked(row[name])
        added = row.get("input") if name == "instruction" else None
        return prompt if is_missing(added) else prompt._replace(question=f"{prompt.question}\n{added}")
    if dialogue is not None:
        return asked(dialogue)
    if isinstance(better, list | tuple) and any(turn.role == USER for turn in turns_of(better)):
        return asked(list(better))
    raise ValueError("a record lacks a field: a question (question, prompt, query, messages, conversations)")
