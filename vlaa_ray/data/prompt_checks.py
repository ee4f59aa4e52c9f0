"""Faults of a prompt whose record can be read, but which can't be given to a model.

For example:

    list(faults_of(prompt)) == ["the number of <image> in the question is 2, but the number of images is 1"]
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt
from vlaa_ray.text.conversation import spoken_turns, texts_before
from vlaa_ray.text.placeholders import without_images

_MIN_SIDE_PX = 4  # width and height of an image
ABSENT = ("nan", "-nan", "none", "null", "n/a", "n.a.", "#n/a", "<na>", "nat", "nil", "undefined")
"""How tables and programs write a missing value, in lower case."""
_NEVER_ABSENT = ("digit", "mcq", "math", "letters", "number", "yes_no")
"""The verifier types whose golds can't be such a word. Elsewhere it may be a right answer."""


def faults_of(prompt: Prompt) -> Iterator[str]:
    """Yield the faults of a prompt, each as a short text; nothing if the prompt is sound."""
    try:
        spoken_turns(prompt)
    except DataError as error:
        yield error.message
    if prompt.num_question_images < 0:
        yield f"the earlier turns have places for more images than there are: {len(prompt.images)}"
    if not without_images(prompt.question):
        yield "the question is empty"
    if "\0" in prompt.question:
        yield "the question holds a NUL character"
    yield from (f"{what} holds a NUL character" for what, text in texts_before(prompt) if "\0" in text)
    if isinstance(prompt.gold, float) and not math.isfinite(prompt.gold):
        yield f"the gold is {prompt.gold}"
    if isinstance(prompt.gold, str) and "\0" in prompt.gold:
        yield "the gold holds a NUL character"
    if prompt.verifier_type in _NEVER_ABSENT and isinstance(prompt.gold, str) and says_nothing(prompt.gold):
        yield f"the gold says nothing: {prompt.gold.strip()!r} stands for a missing value"
    for image in prompt.images:
        if min(image.width_px, image.height_px) < _MIN_SIDE_PX:
            yield f"an image of {image.width_px} x {image.height_px} pixels is too small to show anything"


def says_nothing(gold: str) -> bool:
    """Return whether the text is how a table or a program writes a missing value."""
    return gold.strip().lower() in ABSENT


def refuse_faulty(prompt: Prompt) -> None:
    """Raise DataError with the first fault of the prompt, if it has any."""
    for fault in faults_of(prompt):
        raise DataError(fault, id=prompt.prompt_id)
