"""Where a question's images stand: each `<image>` in it is one, in their order; without any, all come first.

in_parts("Is <image> larger than <image>?", 2)  -> ("Is ", None, " larger than ", None, "?")
in_parts("How many?", 1)                        -> (None, "How many?")
"""

from __future__ import annotations

from vlaa_ray.errors import DataError

IMAGE = "<image>"


def without_images(question: str) -> str:
    """The words alone, for whoever gets no images, or all at once; amid the words one is "the image"."""
    parts = in_parts(question, question.count(IMAGE))
    places = [place for place, part in enumerate(parts) if part is not None]
    amid = parts[places[0] : places[-1] + 1] if places else ()
    return "".join("the image" if part is None else part for part in amid)


def in_parts(question: str, num_images: int, **facts: str) -> tuple[str | None, ...]:
    """Texts and images (None) as they follow one another; DataError, with the facts, if `<image>` are more or fewer.

    Blanks around the first and the last text go; a text of blanks alone is none.
    """
    texts = question.split(IMAGE) if IMAGE in question else [*[""] * num_images, question]
    if len(texts) != num_images + 1:
        raise DataError(f"{len(texts) - 1} {IMAGE} in the question, and {num_images} images", **facts)
    written = [number for number, text in enumerate(texts) if text.strip()]
    parts: list[str | None] = []
    for number, text in enumerate(texts):
        if number:
            parts.append(None)
        if number in written:
            text = text.lstrip() if number == written[0] else text
            parts.append(text.rstrip() if number == written[-1] else text)
    return tuple(parts)
