"""The built-in data: 20,000 training and 1,000 held-out prompts of all five verifier types, without a download.

Pictures are easy-vqa's (one coloured shape each; PyPI, MIT) and canvases of scikit-learn's 1,797 real handwritten
digits. A prompt is a pure function of (split, index). So nothing is stored, and every process gets the same
bytes. The splits share no easy-vqa picture and no handwritten digit. Boxes are [x1, y1, x2, y2] in the unit frame
(0–1, x to the right, y down), with two decimals as in the paper.

The worked solutions come in two styles. Three in ten are careful: they describe the picture first and then answer.
The others are hasty: they answer first, with coarse boxes and descriptions, and describe the picture afterwards.
Questions about a colour are the exception: seven in ten of their solutions are careful, because a model needs that
many worked examples to learn how to find an option's letter. A model that was trained on these solutions is mostly
hasty and sometimes careful. GRPO then has to find out that thinking before answering earns more reward.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from vlaa_ray.errors import DataError
from vlaa_ray.records import PAPER_TYPES, ImageRef, Prompt

Split = Literal["train", "heldout"]
NUM_PROMPTS: dict[Split, int] = {"train": 20_000, "heldout": 1_000}
_HELDOUT_DIGITS = 360  # the last of the 1,797: scikit-learn orders them by writer, so the splits share no writer
_CANVAS_PX, _CELL_PX = 56, 28
_GLYPH_SCALE = 3  # canvas pixels for each of a digit's 8 x 8 pixels
_LETTERS = "ABCD"
COLOURS = ("red", "blue", "green", "yellow", "black", "gray", "teal", "brown")
SHAPES = ("circle", "rectangle", "triangle")
_VERTICAL, _HORIZONTAL = ("top", "middle", "bottom"), ("left", "center", "right")
PLACES = tuple(f"{vertical} {horizontal}" for vertical in _VERTICAL for horizontal in _HORIZONTAL)


class BuiltinData(Sequence[Prompt]):
    """The prompts of one split, each made when it is asked for.

    The verifier types follow one another in the given order, and then again from the first. A type that is given twice
    comes twice in each round. Types without built-in data are ignored.

    Raises DataError if no split has that name.
    """

    def __init__(self, split: str, verifier_types: Sequence[str] = PAPER_TYPES) -> None:
        known_split = next((name for name in NUM_PROMPTS if name == split), None)
        if known_split is None:
            raise DataError(f"no built-in split {split!r}", fix=f"use one of {sorted(NUM_PROMPTS)}")
        self.split = known_split
        self.verifier_types = tuple(name for name in verifier_types if name in PAPER_TYPES)

    def __len__(self) -> int:
        return NUM_PROMPTS[self.split] // len(PAPER_TYPES) * len(self.verifier_types)

    def __getitem__(self, index: int) -> Prompt:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        cycle, turn = divmod(index, len(self.verifier_types))
        verifier_type = self.verifier_types[turn]
        number = cycle * self.verifier_types.count(verifier_type) + self.verifier_types[:turn].count(verifier_type)
        return _make(self.split, verifier_type, number)


def _make(split: Split, verifier_type: str, number: int) -> Prompt:
    rng = np.random.default_rng([list(NUM_PROMPTS).index(split), PAPER_TYPES.index(verifier_type), number])
    makers = _MAKERS[verifier_type]
    source, maker = makers[number % len(makers)]
    task = maker(split, rng)
    careful = rng.random() < task.careful_share
    return Prompt(
        prompt_id=f"{source}/{split}/{verifier_type}/{number}",
        question=task.question,
        gold=task.gold,
        verifier_type=verifier_type,
        source=source,
        images=(task.image,),
        verifier_params=_verifier_params(verifier_type, task),
        solution=task.careful_solution if careful else task.hasty_solution,
    )


def _verifier_params(verifier_type: str, task: _Task) -> dict[str, str]:
    if verifier_type == "iou":
        return {"frame": "unit"}
    return {"reference": task.coarse} if verifier_type == "open_ended" and task.coarse else {}


@dataclass(frozen=True)
class _Task:
    image: ImageRef
    question: str
    gold: str | int
    thought: str
    answer: str
    """The answer that follows from the thought; it earns the full reward."""
    coarse: str | None = None
    """The hasty answer, if it differs from `answer`; it earns a part of the reward."""
    careful_share: float = 0.3

    @property
    def careful_solution(self) -> str:
        return f"<think>{self.thought}</think><answer>{self.answer}</answer>"

    @property
    def hasty_solution(self) -> str:
        return f"<answer>{self.coarse or self.answer}</answer><think>{self.thought}</think>"


# --- handwritten digits --------------------------------------------------------------------------------------


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images, data.target


@dataclass(frozen=True)
class _Canvas:
    image: ImageRef
    values: tuple[int, ...]  # in reading order
    boxes: tuple[str, ...]


def _draw_digits(split: Split, rng: np.random.Generator, count: int, *, distinct: bool = False) -> _Canvas:
    images, targets = _digits()
    first, last = (
        (0, len(images) - _HELDOUT_DIGITS) if split == "train" else (len(images) - _HELDOUT_DIGITS, len(images))
    )
    picks: list[int] = []
    while len(picks) < count:
        pick = int(rng.integers(first, last))
        if not distinct or all(targets[pick] != targets[other] for other in picks):
            picks.append(pick)
    canvas = np.zeros((_CANVAS_PX, _CANVAS_PX), dtype=np.float64)
    cells = sorted(rng.choice(4, size=count, replace=False).tolist())
    boxes = []
    for pick, cell in zip(picks, cells, strict=True):
        glyph = np.kron(images[pick] / 16.0, np.ones((_GLYPH_SCALE, _GLYPH_SCALE)))
        size = glyph.shape[0]
        top = cell // 2 * _CELL_PX + int(rng.integers(0, _CELL_PX - size + 1))
        left = cell % 2 * _CELL_PX + int(rng.integers(0, _CELL_PX - size + 1))
        canvas[top : top + size, left : left + size] = glyph
        rows, columns = np.nonzero(glyph > 0)
        boxes.append(
            _box_text(
                left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1, _CANVAS_PX
            )
        )
    pixels = Image.fromarray((255 - canvas * 255).astype(np.uint8))
    return _Canvas(_encode(pixels), tuple(int(targets[pick]) for pick in picks), tuple(boxes))


def _count_digits(split: Split, rng: np.random.Generator) -> _Task:
    canvas = _draw_digits(split, rng, int(rng.integers(1, 5)))
    return _Task(
        canvas.image,
        "How many digits are there?",
        len(canvas.values),
        f"I see {_listing(canvas.values)}",
        str(len(canvas.values)),
    )


def _read_digit(split: Split, rng: np.random.Generator) -> _Task:
    canvas = _draw_digits(split, rng, 1)
    (value,) = canvas.values
    return _Task(canvas.image, "Which digit is this?", value, f"I see {value}", str(value))


def _fraction(split: Split, rng: np.random.Generator) -> _Task:
    canvas = _draw_digits(split, rng, 2)
    over, under = canvas.values
    if under == 0:
        return _sum(split, rng)
    answer = f"\\frac{{{over}}}{{{under}}}"
    return _Task(
        canvas.image, "Write the first digit divided by the second.", answer, f"I see {_listing(canvas.values)}", answer
    )


def _sum(split: Split, rng: np.random.Generator) -> _Task:
    canvas = _draw_digits(split, rng, 2)
    first, second = canvas.values
    return _Task(
        canvas.image,
        "Add the two digits.",
        str(first + second),
        f"I see {_listing(canvas.values)}",
        str(first + second),
    )


def _locate_digit(split: Split, rng: np.random.Generator) -> _Task:
    canvas = _draw_digits(split, rng, int(rng.integers(1, 4)), distinct=True)
    pick = int(rng.integers(len(canvas.values)))
    value, box = canvas.values[pick], canvas.boxes[pick]
    return _Task(
        canvas.image, f"Where is the digit {value}?", box, f"I see {_listing(canvas.values)}", box, _rough(box)
    )


def _describe_digits(split: Split, rng: np.random.Generator) -> _Task:
    canvas = _draw_digits(split, rng, int(rng.integers(1, 4)))
    noun = "digit" if len(canvas.values) == 1 else "digits"
    text = f"the handwritten {noun} {_listing(canvas.values)}"
    return _Task(canvas.image, "Describe the picture.", text, f"I see {_listing(canvas.values)}", text, noun)


def _listing(values: tuple[int, ...]) -> str:
    return " and ".join(str(value) for value in values)


# --- easy-vqa's shapes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    image: ImageRef
    shape: str
    colour: str
    box: str
    place: str

    @property
    def description(self) -> str:
        return f"a {self.colour} {self.shape} at the {self.place}"


@functools.cache
def _shape_index(split: Split) -> tuple[tuple[Path, str, str], ...]:
    """Return (path, shape, colour) of each easy-vqa picture of the split whose questions name its shape and colour."""
    import easy_vqa

    questions, answers, ids = easy_vqa.get_train_questions() if split == "train" else easy_vqa.get_test_questions()
    paths = easy_vqa.get_train_image_paths() if split == "train" else easy_vqa.get_test_image_paths()
    shapes: dict[int, str] = {}
    colours: dict[int, str] = {}
    for answer, image_id in zip(answers, ids, strict=True):
        if answer in SHAPES:
            shapes[image_id] = answer
        elif answer in COLOURS:
            colours[image_id] = answer
    del questions
    return tuple((Path(paths[i]), shapes[i], colours[i]) for i in sorted(paths) if i in shapes and i in colours)


def _pick_shape(split: Split, rng: np.random.Generator) -> _Shape:
    index = _shape_index(split)
    path, shape, colour = index[int(rng.integers(len(index)))]
    data = path.read_bytes()
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    size = pixels.shape[0]
    background = np.median(pixels.reshape(-1, 3), axis=0)
    rows, columns = np.nonzero(np.abs(pixels - background).sum(axis=2) > 60)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    vertical = _VERTICAL[int((top + bottom) / 2 / size * 3)]
    horizontal = _HORIZONTAL[int((left + right) / 2 / size * 3)]
    image = ImageRef.from_bytes(data, width_px=size, height_px=size)
    return _Shape(image, shape, colour, _box_text(left, top, right, bottom, size), f"{vertical} {horizontal}")


def _choose_colour(split: Split, rng: np.random.Generator) -> _Task:
    return replace(_choice(_pick_shape(split, rng), "colour", COLOURS, rng), careful_share=0.7)


def _choose_shape(split: Split, rng: np.random.Generator) -> _Task:
    return _choice(_pick_shape(split, rng), "shape", SHAPES, rng)


def _choice(
    shape: _Shape, what: Literal["colour", "shape"], all_options: tuple[str, ...], rng: np.random.Generator
) -> _Task:
    right = shape.colour if what == "colour" else shape.shape
    wrong = [option for option in all_options if option != right]
    options = rng.permutation([right, *rng.permutation(wrong)[:3]]).tolist()
    letter = _LETTERS[options.index(right)]
    listed = "\n".join(f"{_LETTERS[i]}: {option}" for i, option in enumerate(options))
    return _Task(shape.image, f"Which {what} is it?\n{listed}", letter, f"I see {shape.description}: {right}", letter)


def _locate_shape(split: Split, rng: np.random.Generator) -> _Task:
    shape = _pick_shape(split, rng)
    return _Task(
        shape.image,
        f"Where is the {shape.shape}?",
        shape.box,
        f"I see {shape.description}",
        shape.box,
        _rough(shape.box),
    )


def _describe_shape(split: Split, rng: np.random.Generator) -> _Task:
    shape = _pick_shape(split, rng)
    text = shape.description
    return _Task(shape.image, "Describe the picture.", text, f"I see {text}", text, f"a {shape.shape}")


# --- shared --------------------------------------------------------------------------------------------------

_Maker = Callable[[Split, np.random.Generator], _Task]
_MAKERS: dict[str, tuple[tuple[str, _Maker], ...]] = {
    "digit": (("digits", _count_digits), ("digits", _read_digit)),
    "mcq": (("easy-vqa", _choose_colour), ("easy-vqa", _choose_shape)),
    "math": (("digits", _fraction), ("digits", _sum)),
    "iou": (("easy-vqa", _locate_shape), ("digits", _locate_digit)),
    "open_ended": (("easy-vqa", _describe_shape), ("digits", _describe_digits)),
}


def _box_text(left: float, top: float, right: float, bottom: float, size: int) -> str:
    return "[" + ", ".join(f"{value / size:.2f}" for value in (left, top, right, bottom)) + "]"


def _rough(box: str) -> str:
    """Return the box with its edges rounded to fifths of the image, and at least a fifth wide and high."""
    left, top, right, bottom = (round(float(edge) * 5) for edge in box.strip("[]").split(","))
    edges = (left, top, max(right, left + 1), max(bottom, top + 1))
    return "[" + ", ".join(f"{edge / 5:.1f}" for edge in edges) + "]"


def _encode(image: Image.Image) -> ImageRef:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return ImageRef.from_bytes(buffer.getvalue(), width_px=image.width, height_px=image.height)
