"""The replies of the scripted teacher: it recognises the built-in pictures by their pixels, and answers by rules."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import NamedTuple

import numpy as np
from PIL import Image

from vlaa_ray.data.builtin import COLOURS, PLACES, SHAPES

_CELL_PX, _SCALE = 28, 3
_SHAPE_PX = 64  # the side of a picture with a shape
_LEAST_LIGHT = 200  # the background of such a picture has at least this much of each colour
_NOT_BUILTIN = "this is not a built-in picture"
_RGB = {
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 128, 0),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "teal": (0, 128, 128),
    "brown": (165, 42, 42),
}
_DIGIT = re.compile(r"digit (\d) at (\[[^\]]*\])")
_SHAPE = re.compile(rf"a ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}) at the ({'|'.join(PLACES)}), at (\[[^\]]*\])")
_FENCED = re.compile(r"```\n(.*?)\n```", re.DOTALL)
_OPTION = re.compile(r"^([A-D]): (\w+)$", re.MULTILINE)
_OF_CAPTION = ("The caption says that there is", "According to the description, there is", "The text mentions")
_OF_PICTURE = ("The picture shows that there is", "As can be seen, there is", "The picture shows")


class Seen(NamedTuple):
    """The facts of a caption: (digit, box) in reading order, or (colour, shape, place, box).

    A box is the text [x1, y1, x2, y2], with edges from 0 to 1.
    """

    digits: tuple[tuple[str, str], ...] = ()
    shape: tuple[str, str, str, str] | None = None


# --- looking -------------------------------------------------------------------------------------------------


def caption_of(picture: Image.Image, seed: int) -> str:
    """Return a description of the picture; one in 25, chosen by `seed`, may name a wrong shape.

    Raises ValueError if it is not a built-in picture.
    """
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    if pixels.shape[:2] == (2 * _CELL_PX, 2 * _CELL_PX):
        digits = _digits_in(pixels[:, :, 0])
        if not digits:
            raise ValueError(_NOT_BUILTIN)
        listed = ", ".join(f"the handwritten digit {value} at {box}" for value, box in digits)
        return f"A white square with {len(digits)} of the handwritten digits on it, in reading order: {listed}."
    colour, shape, place, box = _shape_in(pixels)
    if seed % 25 == 0:
        shape = SHAPES[seed // 25 % len(SHAPES)]  # a deliberate mistake
    return f"A plain background with one object: a {colour} {shape} at the {place}, at {box}."


@functools.cache
def known_digits() -> dict[bytes, int]:
    """Return the digit that each picture of scikit-learn's data shows, by its pixels (64 bytes, 0 to 16)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return {image.astype(np.uint8).tobytes(): int(value) for image, value in zip(data.images, data.target, strict=True)}


def _digits_in(grey: np.ndarray) -> list[tuple[int, str]]:
    ink = np.rint((255 - grey) / 255 * 16).astype(np.uint8)
    size, side = 8 * _SCALE, ink.shape[0]
    digits = []
    for cell in range(4):
        first_row, first_column = cell // 2 * _CELL_PX, cell % 2 * _CELL_PX
        for place in range((_CELL_PX - size + 1) ** 2):
            down, right = divmod(place, _CELL_PX - size + 1)
            top, left = first_row + down, first_column + right
            value = known_digits().get(ink[top : top + size : _SCALE, left : left + size : _SCALE].tobytes())
            if value is not None:
                rows, columns = np.nonzero(ink[top : top + size, left : left + size])
                digits.append(
                    (
                        value,
                        _box(
                            left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1, side
                        ),
                    )
                )
                break
    return digits


def _shape_in(pixels: np.ndarray) -> tuple[str, str, str, str]:
    size = pixels.shape[0]
    background = np.median(pixels.reshape(-1, 3), axis=0)
    rows, columns = np.nonzero(np.abs(pixels - background).sum(axis=2) > 60)
    if not len(rows) or pixels.shape[:2] != (_SHAPE_PX, _SHAPE_PX) or background.min() < _LEAST_LIGHT:
        raise ValueError(_NOT_BUILTIN)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    middle = np.median(pixels[rows, columns], axis=0)
    colour = min(_RGB, key=lambda name: float(np.abs(middle - _RGB[name]).sum()))
    filled = len(rows) / ((right - left) * (bottom - top))
    shape = "rectangle" if filled > 0.9 else "circle" if filled > 0.65 else "triangle"
    vertical, horizontal = int((top + bottom) / 2 / size * 3), int((left + right) / 2 / size * 3)
    return colour, shape, PLACES[3 * vertical + horizontal], _box(left, top, right, bottom, size)


def _box(left: float, top: float, right: float, bottom: float, size: int) -> str:
    return "[" + ", ".join(f"{value / size:.2f}" for value in (left, top, right, bottom)) + "]"


# --- thinking ------------------------------------------------------------------------------------------------


def reply_to(prompt: str) -> str:
    """Return the reply to a prompt of the steps distill, rewrite or verify, which are recognised by their words.

    Raises ValueError for any other prompt.
    """
    blocks = _FENCED.findall(prompt)
    if "<think>" in prompt and "\\boxed" in prompt and len(blocks) >= 2:
        return _reasoned(blocks[0], blocks[-1])
    if "Yes or No" in prompt and len(blocks) >= 2:
        return "Yes" if _same(blocks[-2], blocks[-1]) else "No"
    if "<think>" in prompt:
        return _rewritten(prompt[prompt.rindex("<think>\n") :])
    raise ValueError("this is not a prompt of one of the steps")


def _reasoned(caption: str, question: str) -> str:
    draw = int.from_bytes(hashlib.sha256(f"{caption}\0{question}".encode()).digest()[:8], "big")
    seen = read_caption(caption)
    answer = answer_from(seen, question)
    if draw % 12 == 0:
        answer = f"{answer}0"  # a deliberate mistake
    saw = _OF_CAPTION[draw % 3]
    listed = ", ".join(f"the digit {value} at {box}" for value, box in seen.digits)
    if seen.shape:
        listed = "a {} {} at the {}, at {}".format(*seen.shape)
    doubt = f"Wait, let me double-check: it is {listed}, and the question is still the same." if draw % 5 == 0 else ""
    thought = f"The question is: {question}\n{saw} {listed}.\n{doubt}\nSo it has to be {answer}."
    return f"<think>\n{thought}\n</think>\n\n{saw} {listed}, and so the answer is \\boxed{{{answer}}}."


def read_caption(caption: str) -> Seen:
    """Return the facts in a caption that `caption_of` made."""
    shape = _SHAPE.search(caption)
    return Seen(tuple(_DIGIT.findall(caption)), (shape[1], shape[2], shape[3], shape[4]) if shape else None)


def answer_from(seen: Seen, question: str) -> str:
    """Return the answer to a built-in question. Raises ValueError for any other question."""
    values = [int(value) for value, _ in seen.digits]
    if seen.shape:
        colour, shape, place, box = seen.shape
        options = {name: letter for letter, name in _OPTION.findall(question)}
        answers = {
            "Which colour": options.get(colour, "A"),
            "Which shape": options.get(shape, "A"),
            "Where is the": box,
            "Describe": f"a {colour} {shape} at the {place}",
        }
    else:
        wanted = re.search(r"Where is the digit (\d)", question)
        boxes = [box for value, box in seen.digits if wanted and value == wanted[1]]
        noun = "digit" if len(values) == 1 else "digits"
        listed = " and ".join(map(str, values))
        answers = {
            "How many": str(len(values)),
            "Which digit": str(values[0]) if values else "",
            "divided by": f"\\frac{{{values[0]}}}{{{values[1]}}}" if len(values) == 2 else "",
            "Add the two": str(sum(values)),
            "Where is the digit": boxes[0] if boxes else "",
            "Describe": f"the handwritten {noun} {listed}",
        }
    for words, answer in answers.items():
        if words in question and answer:
            return answer
    raise ValueError(f"this is not a built-in question: {question[:80]!r}")


def _rewritten(text: str) -> str:
    for before, after in zip(_OF_CAPTION, _OF_PICTURE, strict=True):
        text = text.replace(before, after)
    if int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 30 == 0:
        text += " I may add that this was a very nice picture, and that I would like to see many more of its kind soon."
    return text


def _same(gold: str, answer: str) -> bool:
    return gold.strip().lower() == answer.strip().lower()
