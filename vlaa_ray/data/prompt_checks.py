"""What is wrong with a prompt although every part of it can be read: no model can be asked with it.

list(faults_of(prompt)) == ["2 <image> in the question, and 1 images"]
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt
from vlaa_ray.text.placeholders import in_parts, without_images

_LEAST_PX = 4  # a side


def faults_of(prompt: Prompt) -> Iterator[str]:
    """Each in words; nothing of a sound prompt."""
    try:
        in_parts(prompt.question, len(prompt.images))
    except DataError as error:
        yield error.message
    if not without_images(prompt.question):
        yield "the question is empty"
    if "\0" in prompt.question:
        yield "the question holds a NUL character"
    if isinstance(prompt.gold, float) and not math.isfinite(prompt.gold):
        yield f"the gold is {prompt.gold}"
    if isinstance(prompt.gold, str) and "\0" in prompt.gold:
        yield "the gold holds a NUL character"
    for image in prompt.images:
        if min(image.width_px, image.height_px) < _LEAST_PX:
            yield f"an image of {image.width_px} x {image.height_px} pixels shows nothing"


def refuse_faulty(prompt: Prompt) -> None:
    """DataError for the first fault, if there is one."""
    for fault in faults_of(prompt):
        raise DataError(fault, id=prompt.prompt_id)
