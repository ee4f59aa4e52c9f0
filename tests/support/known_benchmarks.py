"""Benchmark files whose questions the small built-in model has learned: the held-out data in VLMEvalKit's form.

write_known_tsv("MathVista", folder / "MathVista_MINI.tsv", num_rows=300)
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from benchmark_files import write_tsv

from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import encoded
from vlaa_ray.records import Prompt

Row = dict[str, Any]
CHOICES_ALONE = ("WeMath", "LogicVista")


def write_known_tsv(name: str, path: Path, num_rows: int) -> Path:
    """Write the first prompts with options or numbers (at most 200 of a kind) as rows of a benchmark."""
    kinds = ("mcq",) if name in CHOICES_ALONE else ("mcq", "digit", "math")
    data = BuiltinData("heldout", kinds)
    return write_tsv(path, [_row(name, place, data[place]) for place in range(min(num_rows, len(data)))])


def _row(name: str, place: int, prompt: Prompt) -> Row:
    listed = prompt.question.partition("\n")[2].splitlines() if prompt.verifier_type == "mcq" else []
    options = dict(line.split(": ", 1) for line in listed)
    image = base64.b64encode(encoded(prompt.images[0])).decode()
    shared = {"index": place, "image": image, "question": prompt.question, "answer": str(prompt.gold)}
    return shared | _COLUMNS[name](place, str(prompt.gold), options)


def _mathvista(place: int, gold: str, options: dict[str, str]) -> Row:
    skills = {"task": "figure question answering", "skills": "['arithmetic reasoning']"}
    if not options:
        return skills | {"question_type": "free_form", "answer_type": "integer" if gold.isdigit() else "text"}
    kind = {"question_type": "multi_choice", "answer_type": "text", "answer_option": gold, "answer": options[gold]}
    return skills | kind | {"choices": str([*options.values()])}


def _mathvision(place: int, gold: str, options: dict[str, str]) -> Row:
    return {"category": "counting", "choices": str([*options.values()])}


def _mathverse(place: int, gold: str, options: dict[str, str]) -> Row:
    listed = "\n".join(f"{letter}:{text}" for letter, text in options.items())
    asked = f"Look at the picture.\nChoices:\n{listed}" if options else "Look at the picture."
    kind = "multi-choice" if options else "free-form"
    shared = {"question_type": kind, "question_for_eval": asked, "problem_version": "Vision Only", "metadata": "{}"}
    return shared | {"problem_index": place}


def _dynamath(place: int, gold: str, options: dict[str, str]) -> Row:
    kind = "multiple choice" if options else "float" if gold.isdigit() else "text"
    return {"answer_type": kind, "qid": place, "varid": 1, "subject": "counting", "knowledge_level": "elementary"}


def _wemath(place: int, gold: str, options: dict[str, str]) -> Row:
    part = ("1", "2", "multi")[place % 3]
    return {"ID": place // 3, "key": f"2steps_{part}", "knowledge concept": "Counting"} | options


def _logicvista(place: int, gold: str, options: dict[str, str]) -> Row:
    return {"skill": "['inductive']"}


_COLUMNS = {
    "MathVista": _mathvista,
    "MathVision": _mathvision,
    "MathVerse": _mathverse,
    "DynaMath": _dynamath,
    "WeMath": _wemath,
    "LogicVista": _logicvista,
}
