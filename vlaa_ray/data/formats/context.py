"""What the model reads before the question: the system text and the earlier turns of a record, with their images.

placed_in_turns((Turn(role="user", text="<image>How many?"), Turn(role="assistant", text="6")), "Red?", ("a.png",))
-> ((Turn(role="user", text="<image>How many?", num_images=1), Turn(role="assistant", text="6")), "Red?", ("a.png",))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vlaa_ray.data.formats.fields import literal
from vlaa_ray.data.formats.messages import Fields, history_of, joined_system, turns_of
from vlaa_ray.data.formats.pictures import placed
from vlaa_ray.data.formats.tracked_row import TrackedRow, is_missing
from vlaa_ray.records import Turn
from vlaa_ray.text.placeholders import IMAGE

_SYSTEM = ("system", "system_prompt", "system_message")
_BREAK = "\0"  # between the texts of the turns while their places are read together
_Placed = tuple[tuple[Turn, ...], str, tuple[Any, ...]]


def with_context(row: TrackedRow, values: Fields) -> Fields:
    """Return the fields of a record with the system text and the earlier turns that stand in columns of their own.

    `history` holds pairs of a question and its answer, as in LLaMA-Factory and ms-swift, or messages.

    Raises ValueError if `history` has another form, or if the record's messages have earlier turns, too.
    """
    own = [row[name] for name in _SYSTEM if isinstance(row.peek(name), str)]
    system = joined_system(*own, values.get("system"))
    column = row.get("history")
    if is_missing(column):
        return values | {"system": system}
    if values.get("history"):
        raise ValueError("the record has earlier turns twice, in `history` and in its messages")
    history, images = history_of(turns_of(_messages(literal(column))))
    return values | {"system": system, "history": history, "images": images + tuple(values["images"])}


def _messages(history: Any) -> list[Any]:
    """Return the messages of a `history`: its items, each of which may also be a pair of question and answer."""
    messages: list[Any] = []
    for item in history if isinstance(history, list | tuple) else [history]:
        if isinstance(item, list | tuple) and len(item) == 2:
            messages += [{"role": "user", "content": item[0]}, {"role": "assistant", "content": item[1]}]
        elif isinstance(item, Mapping):
            messages.append(item)
        else:
            raise ValueError("`history` must be a list of messages, or of pairs of a question and its answer")
    return messages


def placed_in_turns(history: tuple[Turn, ...], question: str, images: tuple[Any, ...]) -> _Placed:
    """Return (history, question, images) with `<image>` at the place of each image, in the order of the places.

    Placeholders are read as `pictures.placed` does, over all turns together. Without any, the images stand before the
    first text of the user.

    Raises ValueError if the places and the images don't fit together.
    """
    if not history:
        return history, *placed(question, images)
    joined, images = placed(_BREAK.join([*(turn.text for turn in history), question]), images)
    *texts, question = joined.split(_BREAK)
    if len(texts) != len(history):
        raise ValueError("a turn of the conversation holds a NUL character")
    counts = [text.count(IMAGE) for text in texts]
    num_places = sum(counts) + question.count(IMAGE)
    first = next((place for place, turn in enumerate(history) if turn.role == "user"), None)
    if num_places and num_places != len(images):
        raise ValueError(
            f"the number of {IMAGE} in the conversation is {num_places}, but the number of images is {len(images)}"
        )
    if not num_places and first is not None:
        counts[first] = len(images)
    turns = zip(history, texts, counts, strict=True)
    return tuple(replace(turn, text=text, num_images=number) for turn, text, number in turns), question, images
