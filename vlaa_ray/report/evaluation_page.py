"""`page.html` of an evaluation: scores with their intervals and conditions, categories, and a viewer of the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlaa_ray.report.evaluation_folder import RecordedEvaluation, RecordedModel, RecordedScore, read_result, read_rows
from vlaa_ray.report.html import write_page
from vlaa_ray.report.rows_viewer import PICTURE_CHARS, ShownRow, album_of, viewer

PAGE = "page.html"
_CONDITIONS = {
    "name": "Settings",
    "style": "Style of the prompt",
    "system_prompt": "System prompt",
    "min_pixels": "Pixels of a picture, at least",
    "max_pixels": "Pixels of a picture, at most",
    "max_prompt_tokens": "Tokens of a prompt, at most",
    "max_completion_tokens": "Tokens of an answer, at most",
    "temperature": "Temperature",
    "top_p": "Top p",
    "num_samples": "Answers a row",
    "seed": "Seed",
    "judge": "Judge",
}
_NO_JUDGE = "none; what rules can't settle stays unsettled and counts as wrong"


def write_evaluation_page(folder: Path, picture_chars: int = PICTURE_CHARS) -> Path:
    """Write `page.html` into the folder of an evaluation, from its result, rows and pictures; return its path.

    The page holds `picture_chars` characters of pictures at most, and says how many pictures that left out.

    Raises:
        DataError: the folder has no result that can be read.

    """
    result = read_result(folder)
    rows, num_bad = read_rows(folder)
    content = {
        "title": result.model.name,
        "facts": facts(result),
        "result": result,
        "num_scores": sum(len(benchmark.all_scores) for benchmark in result.benchmarks.values()),
        "conditions": conditions(result.conditions),
        "has_categories": any(benchmark.categories for benchmark in result.benchmarks.values()),
        "rows": viewer([ShownRow((row,)) for row in rows], album_of(folder, rows, picture_chars), []),
        "num_bad": num_bad,
    }
    return write_page(folder / PAGE, "evaluation.html.jinja", content, FILTERS)


def facts(result: RecordedEvaluation) -> list[str]:
    """Return what the top of a page says about the model and the evaluation, in short lines."""
    model, created = result.model, result.created
    lines = [model.kind, "" if model.path in (None, model.name) else str(model.path)]
    if model.weight_version is not None:
        lines.append(f"weight version {model.weight_version}")
    lines.append(f"evaluated {created}" if created else "")
    return [line for line in lines if line]


def conditions(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the conditions as lines of (name, text): the known ones in their order, then any others."""
    known = [(title, key) for key, title in _CONDITIONS.items() if key in values]
    others = [(words(key), key) for key in values if key not in _CONDITIONS]
    return [(title, _condition(key, values[key])) for title, key in (*known, *others)]


def _condition(key: str, value: Any) -> str:
    if key == "judge":
        return _judge(value)
    if value is None:
        return "not set"  # an endpoint, for instance, has limits of its own
    if value == "":
        return "none"
    if isinstance(value, int) and not isinstance(value, bool) and key != "seed":
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _judge(judge: Any) -> str:
    if not judge:
        return _NO_JUDGE
    if not isinstance(judge, dict):
        return str(judge)
    return f"{judge.get('model', 'a model without a name')} at {judge.get('url', 'an unknown address')}"


def model_line(model: RecordedModel) -> str:
    """Return the model's name, with the version of its weights where it is known."""
    return model.name if model.weight_version is None else f"{model.name} (weight version {model.weight_version})"


def percent(value: float | None) -> str:
    """Return the value with one decimal, or a dash for None."""
    return "–" if value is None else f"{value:.1f}"


def interval(score: RecordedScore) -> str:
    """Return the score with its interval: "61.2 (58.1 to 64.2)"."""
    if score.low is None or score.high is None:
        return percent(score.value)
    return f"{percent(score.value)} ({percent(score.low)} to {percent(score.high)})"


def words(key: str) -> str:
    """Return a key as words: "worst_case" becomes "worst case"."""
    return key.replace("_", " ")


FILTERS = {"percent": percent, "interval": interval, "words": words}
