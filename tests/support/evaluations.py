"""Folders of evaluations as `vlaa-ray eval` leaves them, made up: scores, rows with odd answers, pictures."""

import hashlib
import io
import json
import random

from PIL import Image, ImageDraw

SIX = {
    "MathVista": "overall",
    "MathVision": "overall",
    "MathVerse": "overall",
    "DynaMath": "worst_case",
    "WeMath": "score_strict",
    "LogicVista": "overall",
}
CONDITIONS = {
    "name": "paper",
    "system_prompt": "You first think about the reasoning process, and then provide the answer.",
    "style": "kit",
    "min_pixels": 3136,
    "max_pixels": 262_144,
    "max_prompt_tokens": 4096,
    "max_completion_tokens": 800,
    "temperature": 0.0,
    "top_p": 1.0,
    "num_samples": 1,
    "seed": 0,
    "judge": {"model": "judge-mini", "url": "http://127.0.0.1:9000/v1"},
}
SKILLS = ("geometry problem solving", "figure question answering", "textbook question answering")


def make_evaluation(folder, num_rows=12, seed=0, name="tiny", benchmarks=SIX, rows=None, **changes):
    """Write result.json, rows.jsonl and the pictures of an evaluation; `rows` replaces the made-up rows."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    rows = rows or [row(folder, rng, key, number) for key in benchmarks for number in range(num_rows)]
    write_rows(folder, rows)
    result = {
        "model": {"name": name, "path": f"runs/{name}", "kind": "checkpoint", "weight_version": 49},
        "created": "2026-11-30T15:00:00+00:00",
        "version": "0.1.0",
        "conditions": CONDITIONS,
        "benchmarks": {
            key: _summary([one for one in rows if one["benchmark"] == key], SIX.get(key, "overall"))
            for key in benchmarks
        },
        "mean_of_six": None,
    } | changes
    if len(result["benchmarks"]) == 6 and "mean_of_six" not in changes:
        values = [part["scores"][part["headline"]]["value"] for part in result["benchmarks"].values()]
        result["mean_of_six"] = sum(values) / 6
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def paired_result(**changes):
    """The paired result of one benchmark, as the comparison of two evaluations has it."""
    difference = {"value": 1.0, "low": -9.0, "high": 9.0}
    numbers = {"num_rows": 4, "a": 50.0, "b": 51.0, "only_a": 1, "only_b": 1, "mcnemar_p": 1.0}
    return {"headline": "overall", "difference": difference} | numbers | changes


def write_rows(folder, rows):
    text = "".join(json.dumps(one) + "\n" for one in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")


def picture(folder, number):
    """Write a picture that is named by its hash, and return its name in the folder."""
    image = Image.new("RGB", (240, 160), (235, 235, 225))
    ImageDraw.Draw(image).polygon([(20, 140), (220, 140), (40 + number % 150, 20)], outline=(30, 60, 160), width=3)
    file = io.BytesIO()
    image.save(file, "JPEG")
    name = f"images/{hashlib.sha256(file.getvalue()).hexdigest()}.jpg"
    (folder / name).write_bytes(file.getvalue())
    return name


def row(folder, rng, benchmark, number, **changes):
    """A row of `rows.jsonl`: 50% right, 30% wrong, the others unsettled or without an answer."""
    chance = rng.random()
    correct = True if chance < 0.5 else False if chance < 0.8 else None
    said = str(number % 7 if correct else number % 7 + 1)
    thought = f"The triangle has the angles {number} and 40 degrees, so I add them and subtract from 180. " * 3
    return {
        "benchmark": benchmark,
        "index": str(number),
        "sample": 0,
        "question": f"In the picture of {benchmark}, what is angle number {number}? Give a whole number.",
        "gold": str(number % 7),
        "prediction": f"<think>{thought}</think><answer>{said}</answer>" if correct is not None else thought,
        "extracted": None if correct is None else said,
        "correct": correct,
        "settled_by": "" if correct is None else "judge" if number % 5 == 0 else "rule",
        "reason": "" if correct else "no answer found" if correct is None else f"{said} is not {number % 7}",
        "categories": {"skill": [SKILLS[number % 3]], "grade": [f"level {number % 4 + 1}"]},
        "num_tokens": 40 + number,
        "finish_reason": "stop" if correct is not None else "length",
        "images": [picture(folder, number)],
    } | changes


def _summary(rows, headline):
    value = 100 * sum(one["correct"] is True for one in rows) / max(1, len(rows))
    scores = {headline: {"value": value, "low": max(0.0, value - 8.5), "high": min(100.0, value + 8)}}
    if headline in ("worst_case", "score_strict"):
        scores["overall"] = {"value": min(100.0, value + 11), "low": value, "high": min(100.0, value + 20)}
    categories = {}
    for name in ("skill", "grade"):
        labels = sorted({label for one in rows for label in one["categories"].get(name, [])})
        for label in labels:
            own = [one for one in rows if label in one["categories"].get(name, [])]
            share = 100 * sum(one["correct"] is True for one in own) / len(own)
            categories.setdefault(name, {})[label] = {"value": share, "num_rows": len(own)}
    settlers = [one["settled_by"] for one in rows]
    settled = {"rule": settlers.count("rule"), "judge": settlers.count("judge"), "unsettled": settlers.count("")}
    return {
        "num_rows": len(rows),
        "num_samples": 1,
        "headline": headline,
        "settled": settled | {"unanswered": 0},
        "scores": scores,
        "categories": categories,
    }
