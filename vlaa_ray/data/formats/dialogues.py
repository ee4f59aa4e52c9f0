"""The formats of people who fine-tune chat models: conversations, messages, queries with responses, instructions.

For example:

    messages({"messages": [{"role": "user", "content": "<image>How many?"}], "images": ["a.png"], "solution": "6"})
    -> {"question": "<image>How many?", "gold": "6", "images": ("a.png",), "verifier_type": "math", …}
"""

from __future__ import annotations

from typing import Any

from vlaa_ray.data.formats.drafts import Fields, behind_thoughts, fields_of, grounded, worked
from vlaa_ray.data.formats.fields import Row, untagged
from vlaa_ray.data.formats.messages import answer_text, asked, last_exchange
from vlaa_ray.data.formats.tracked_row import is_missing

_GOLDS = ("solution", "ground_truth", "answer", "gt")
_QUERIES = ("query", "prompt")
_RESPONSES = ("response", "completion", "output")


def vlm_r1(row: Row) -> Fields:
    """Read a conversation in LLaVA's layout. Golds of VLM-R1 are boxes in pixels, labelled boxes or None."""
    return _conversation(row, "conversations", "vlm-r1")


def paired_turns(row: Row) -> Fields:
    """Read turns that hold a question and its answer each, as in FineVision and the Cauldron."""
    return _conversation(row, "texts", "texts")


def messages(row: Row) -> Fields:
    """Read messages with the gold in a column of its own, as ms-swift does for GRPO, or in the assistant's answer."""
    gold_column = _first(row, _GOLDS)
    if gold_column is None:
        return _conversation(row, "messages", "messages")
    conversation = asked(row["messages"])
    return _judged(row, conversation.question, row[gold_column], "messages") | conversation.fields()


def query_response(row: Row) -> Fields:
    """Read a query or a prompt with its response, or with the gold in a column of its own, as TRL has it."""
    query = _first(row, _QUERIES)
    prompt = asked(row[query or "query"])
    if (gold_column := _first(row, _GOLDS)) is not None:
        record = _judged(row, prompt.question, row[gold_column], "query")
    else:
        record = _answered(row, prompt.question, answer_text(row[_first(row, _RESPONSES) or "response"]), "query")
    return record | prompt.fields()


def is_query_response(row: Row) -> bool:
    """Return whether a row has a query or a prompt, and an answer to it."""
    return any(name in row for name in _QUERIES) and any(name in row for name in (*_GOLDS, *_RESPONSES))


def instruction_output(row: Row) -> Fields:
    """Read an instruction, with an input where there is one, and its output, in the layout of Alpaca."""
    texts = [row["instruction"], row.get("input")]
    question = "\n".join(text for text in texts if not is_missing(text))
    return _answered(row, question, row["output" if "output" in row else "response"], "instruction")


def _conversation(row: Row, column: str, source: str) -> Fields:
    """Return the fields of the last exchange of a conversation: its answer is the gold, the turns before it history."""
    question, answer = last_exchange(row, column)
    return _answered(row, question.question, answer, source) | question.fields() | {"images": question.images}


def _answered(row: Row, question: str, answer: Any, source: str) -> Fields:
    """Return the fields of a record whose gold is the answer that was given."""
    gold = behind_thoughts(untagged(answer))
    record = fields_of(row, question, gold, _source(row, source)) | grounded(gold, row)
    return record | {"solution": worked(answer, gold)}


def _judged(row: Row, question: str, solution: Any, source: str) -> Fields:
    """Return the fields of a record with a gold in a column of its own, which mathematics judges unless it is a box."""
    gold = behind_thoughts(untagged(solution))
    record = fields_of(row, question, gold, _source(row, source))
    boxes = grounded(gold, row)
    known = boxes if boxes["verifier_type"] != "text" else {}
    return record | known | {"solution": worked(solution, gold)}


def _source(row: Row, other: str) -> Any:
    return row.get("source") or row.get("data_source") or other


def _first(row: Row, names: tuple[str, ...]) -> str | None:
    """Return the first of these columns that holds a value."""
    return next((name for name in names if name in row and not is_missing(row[name])), None)
