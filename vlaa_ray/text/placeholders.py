"""The places of the images in a question. Each `<image>` stands for one image, in order.

If a question has no `<image>`, all images stand before the text.

    in_parts("Is <image> larger than <image>?", 2)  -> ("Is ", None, " larger than ", None, "?")
    in_parts("How many?", 1)                        -> (None, "How many?")
"""

from __future__ import annotations

from vlaa_ray.errors import DataError

IMAGE = "<image>"


def without_images(question: str) -> str:
    """Return the question's text alone, for models that get no images or get all of them at once.

    An `<image>` between words becomes "the image". At the start and at the end it is dropped.
    """
    parts = in_parts(question, question.count(IMAGE))
    places = [place for place, part in enumerate(parts) if part is not None]
    amid = parts[places[0] : places[-1] + 1] if places else ()
    return "".join("the image" if part is None else part for part in amid)


def in_parts(question: str, num_images: int, **facts: str) -> tuple[str | None, ...]:
    """Return the parts of the question in their order: each text, and None for each image.

    Blanks before the first text and after the last one are dropped, and so is a text of blanks alone.

    Raises DataError with `facts` if the question has `<image>`, but not once for each image.
    """
    texts = question.split(IMAGE) if IMAGE in question else [*[""] * num_images, question]
    if len(texts) != num_images + 1:
        message = f"the number of {IMAGE} in the question is {len(texts) - 1}, but the number of images is {num_images}"
        raise DataError(message, **facts)
    with_words = [number for number, text in enumerate(texts) if text.strip()]
    parts: list[str | None] = []
    for number, text in enumerate(texts):
        if number:
            parts.append(None)
        if number in with_words:
            text = text.lstrip() if number == with_words[0] else text
            parts.append(text.rstrip() if number == with_words[-1] else text)
    return tuple(parts)
