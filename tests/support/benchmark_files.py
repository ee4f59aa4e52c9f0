"""Benchmark files in the form in which VLMEvalKit ships them, with pictures that were drawn here.

    write_benchmark_tsv("MathVista", folder / "MathVista_MINI.tsv", num_rows=300, seed=0)

Each file has the columns of its benchmark. About a third of the rows name the index of a row with the same picture,
some hold a list of pictures, and some answers are odd: units, Greek letters, several letters. Every answer follows from
the picture, which shows a number of squares.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

Row = dict[str, Any]
_LETTERS = "ABCDEFG"
_COLOURS = ("red", "green", "blue", "black", "orange")
_SIDE_PX = 56


def picture(count: int, colour: str = "red", kind: str = "PNG") -> str:
    """Return a white picture with `count` squares of one colour (at most 9), encoded in base64."""
    image = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "white")
    draw = ImageDraw.Draw(image)
    for place in range(count):
        left, top = 4 + 18 * (place % 3), 4 + 18 * (place // 3)
        draw.rectangle((left, top, left + 11, top + 11), fill=colour)
    stream = io.BytesIO()
    image.save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


def write_benchmark_tsv(name: str, path: Path, num_rows: int, seed: int) -> Path:
    """Write a TSV file with exactly `num_rows` rows of the benchmark, and return its path.

    The same name, number and seed give the same file. Raises ValueError for a number that the benchmark's groups can't
    make: DynaMath has 10 rows for each question, and We-Math 3 or 4 for each problem.
    """
    rows = [row for _, row in zip(range(num_rows), _MAKERS[name](random.Random(seed), num_rows), strict=False)]
    if len(rows) != num_rows:
        raise ValueError(f"{name} can't have {num_rows} rows")
    return write_tsv(path, _with_shared_pictures(rows, random.Random(seed + 1)))


def write_tsv(path: Path, rows: list[Row]) -> Path:
    """Write rows as a TSV file whose header has every column that a row has, and return its path."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _with_shared_pictures(rows: list[Row], draw: random.Random) -> list[Row]:
    """Return the rows, some of which name an earlier row with the same picture by its index."""
    first_with: dict[str, Any] = {}
    for row in rows:
        holder = first_with.setdefault(row["image"], row["index"])
        if holder != row["index"] and draw.random() < 0.5:
            row["image"] = str(holder)
    return rows


def _scene(draw: random.Random) -> tuple[int, str, str]:
    """Return (number of squares, their colour, the picture)."""
    count, colour = draw.randint(1, 9), draw.choice(_COLOURS)
    return count, colour, picture(count, colour, draw.choice(("PNG", "JPEG")))


def _counts(draw: random.Random, right: int, number: int) -> list[int]:
    """Return different counts in a random order, with the right one among them."""
    others = draw.sample([count for count in range(1, 12) if count != right], number - 1)
    return draw.sample([right, *others], number)


def _listed(options: list[str], mark: str) -> str:
    return "\n".join(mark.format(letter, text) for letter, text in zip(_LETTERS, options, strict=False))


def _mathvista(draw: random.Random, _: int) -> Iterator[Row]:
    for number in range(1, 10**6):
        count, colour, image = _scene(draw)
        shared = {
            "index": number,
            "image": str([image, picture(9)]) if number % 50 == 7 else image,
            "task": draw.choice(("figure question answering", "math word problem", "geometry problem solving")),
            "skills": str(draw.sample(["arithmetic reasoning", "statistical reasoning", "algebraic reasoning"], 2)),
        }
        if draw.random() < 0.54:
            options = [f"{one} squares" if number % 3 else str(one) for one in _counts(draw, count, 4)]
            right = next(place for place, text in enumerate(options) if text.split()[0] == str(count))
            hint = (
                "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."
            )
            question = (
                f"{hint}\nQuestion: How many {colour} squares are there?\nChoices:\n{_listed(options, '({}) {}')}"
            )
            kind = {"question_type": "multi_choice", "answer_type": "text", "answer_option": _LETTERS[right]}
            yield shared | kind | {"question": question, "answer": options[right], "choices": str(options)}
        elif number % 100 == 3:
            hint = "Hint: Please answer the question requiring a Python list as an answer."
            question = f"{hint}\nQuestion: Between which two numbers does the number of squares lie?"
            kind = {"question_type": "free_form", "answer_type": "list", "answer": str([count - 1, count + 1])}
            yield shared | kind | {"question": question}
        else:
            is_float = draw.random() < 0.1
            value = f"{count / 2:.1f}" if is_float else str(count)
            asked = "half the number of squares (in m)" if is_float else "the number of squares"
            hint = "Hint: Please answer the question and provide the final value at the end."
            kind = {"question_type": "free_form", "answer_type": "float" if is_float else "integer", "answer": value}
            yield shared | kind | {"question": f"{hint}\nQuestion: What is {asked}?"}


def _mathvision(draw: random.Random, _: int) -> Iterator[Row]:
    for number in range(1, 10**6):
        count, colour, image = _scene(draw)
        shared = {"index": number, "image": image, "category": draw.choice(("counting", "metric geometry - area"))}
        if number % 2:
            options = [f"${one} \\pi$" if number % 3 == 0 else str(one) for one in _counts(draw, count, 5)]
            right = next(place for place, text in enumerate(options) if text.strip("$").split()[0] == str(count))
            question = f"How many {colour} squares are in <image1>?\n{_listed(options, '({}) {}')}"
            yield shared | {"question": question, "answer": _LETTERS[right], "choices": str(options)}
        else:
            answer = f"\\frac{{{count}}}{{7}}" if number % 8 == 0 else str(count)
            asked = "a seventh of the number" if number % 8 == 0 else "the number"
            question = f"What is {asked} of {colour} squares in <image1>?"
            yield shared | {"question": question, "answer": answer, "choices": "[]"}


def _mathverse(draw: random.Random, _: int) -> Iterator[Row]:
    for number in range(1, 10**6):
        count, colour, image = _scene(draw)
        metadata = {
            "split": "testmini",
            "source": "GeoQA",
            "subject": draw.choice(("Plane Geometry", "Solid Geometry", "Functions")),
            "subfield": draw.choice(("Angle", "Area", "Length")),
        }
        shared = {
            "index": number,
            "image": image,
            "sample_index": number * 5,
            "problem_index": number,
            "problem_version": "Vision Only",
            "metadata": str(metadata),
        }
        if draw.random() < 436 / 788:
            options = [f"{one}°" for one in _counts(draw, count, 4)]
            asked = f"The number of {colour} squares is ( )\nChoices:\n{_listed(options, '{}:{}')}"
            ask = "According to the question shown in the image, please directly answer the question and provide the "
            kind = {"question_type": "multi-choice", "answer": _LETTERS[options.index(f"{count}°")]}
            yield shared | kind | {"question": ask + "correct option letter.", "question_for_eval": asked}
        else:
            ask = (
                "According to the question shown in the image, please first perform reasoning, then provide the value."
            )
            kind = {"question_type": "free-form", "answer": f"{count} cm" if number % 7 == 0 else str(count)}
            yield shared | kind | {"question": ask, "question_for_eval": f"How many {colour} squares are there?"}


def _dynamath(draw: random.Random, num_rows: int) -> Iterator[Row]:
    if num_rows % 10:
        return
    number = 0
    for _ in range(num_rows // 10):
        first, kind = number + 1, draw.choice(("float", "float", "multiple choice", "text"))
        subject, level = (
            draw.choice(("plane geometry", "arithmetic")),
            draw.choice(("elementary school", "high school")),
        )
        for variant in range(1, 11):
            number += 1
            count, colour, image = _scene(draw)
            options = [str(one) for one in _counts(draw, count, 4)]
            listed = f" choice: {' '.join(f'({a}) {b}' for a, b in zip(_LETTERS, options, strict=False))}"
            answers = {
                "float": f"{count / 3:.3f}",
                "multiple choice": _LETTERS[options.index(str(count))],
                "text": colour,
            }
            asked = {"float": "a third of the number", "multiple choice": "the number", "text": "the colour"}[kind]
            yield {
                "index": number,
                "image": image,
                "question": f"What is {asked} of the squares?{listed if kind == 'multiple choice' else ''}",
                "answer": answers[kind],
                "answer_type": kind,
                "subject": subject,
                "knowledge_level": level,
                "varid": variant,
                "qid": first,
            }


def _wemath(draw: random.Random, num_rows: int) -> Iterator[Row]:
    three_steps = next((n for n in range(num_rows // 4 + 1) if (num_rows - 4 * n) % 3 == 0), None)
    if three_steps is None:
        return
    groups = ["3steps"] * three_steps + ["2steps"] * ((num_rows - 4 * three_steps) // 3)
    number = 0
    for problem, steps in enumerate(groups, start=1):
        for part in ("123" if steps == "3steps" else "12") + "m":
            count, colour, image = _scene(draw)
            options = [f"{one} cm" for one in _counts(draw, count, 4)]
            row = {
                "index": number,
                "ID": problem,
                "image": image,
                "question": f"How many {colour} squares, at 1 cm each? ( )",
                "answer": _LETTERS[options.index(f"{count} cm")],
                "key": f"{steps}_{'multi' if part == 'm' else part}",
                "knowledge concept": draw.choice(("Counting", "Area of Rectangles")),
                "requirement": "Please answer in the form <Thought process>: … <Answer>: …",
            }
            if number % 9 == 0:
                row["hint"] = "Each square counts once."
            yield row | dict(zip(_LETTERS, options, strict=False)) | ({"E": "No correct answer"} if number % 2 else {})
            number += 1


def _logicvista(draw: random.Random, _: int) -> Iterator[Row]:
    for number in range(1, 10**6):
        count, colour, image = _scene(draw)
        options = [str(one) for one in _counts(draw, count, 5)]
        answer = _LETTERS[options.index(str(count))]
        question = f"How many {colour} squares are there? Select from A, B, C, D, E. {_listed(options, '({}) {}')}"
        if number % 40 == 5:
            answer, question = "A, C", "Which of the lines is red? Select all from A-D."
        skill = draw.choice(("inductive", "numerical", "deductive", "spatial", "mechanical"))
        yield {"index": number, "image": image, "question": question, "answer": answer, "skill": f"['{skill}']"}


_MAKERS: dict[str, Callable[[random.Random, int], Iterator[Row]]] = {
    "MathVista": _mathvista,
    "MathVision": _mathvision,
    "MathVerse": _mathverse,
    "DynaMath": _dynamath,
    "WeMath": _wemath,
    "LogicVista": _logicvista,
}


def right_answer(row: Row) -> str:
    """Return an answer to a row, given by its columns, that its benchmark counts as right."""
    if row.get("answer_type") in ("float", "multiple choice") and "qid" in row:
        return f"<think>I look.</think><answer>{json.dumps({'solution': 's', 'short answer': row['answer']})}</answer>"
    return f"<think>I look.</think><answer>{row.get('answer_option') or row['answer']}</answer>"
