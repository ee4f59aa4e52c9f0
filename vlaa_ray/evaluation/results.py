"""The result of an evaluation in its folder: `result.json`, `rows.jsonl`, `clusters.jsonl` and small pictures.

folder/  answers.jsonl  rows.jsonl  clusters.jsonl  result.json  images/<sha256>.jpg  judge.sqlite  page.html  kit/
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vlaa_ray
from vlaa_ray.config import EvalConfig
from vlaa_ray.errors import DataError, VlaaRayError
from vlaa_ray.evaluation.answers import AnswerKey
from vlaa_ray.evaluation.benchmarks import BENCHMARKS
from vlaa_ray.evaluation.figures import ClusterValues, figures_of
from vlaa_ray.evaluation.questions import AnswerVerdict, QuestionSet
from vlaa_ray.evaluation.scoring import AnswerSet, AnswerVerdicts
from vlaa_ray.images.decode import load
from vlaa_ray.records import ImageRef
from vlaa_ray.services.secret import without_credentials
from vlaa_ray.storage.atomic import replacing, write_whole
from vlaa_ray.storage.layout import CLUSTERS, RESULT, ROWS

_IMAGES = "images"
_SHOWN_PX = 512
_THREADS = 2
_MAX_CHARS = 4000


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A set of questions with its answers and their verdicts."""

    answers: AnswerSet
    verdicts: AnswerVerdicts

    @property
    def questions(self) -> QuestionSet:
        """The questions."""
        return self.answers.questions


def write_result(folder: Path, scored: Sequence[Scored], model: dict[str, Any], config: EvalConfig) -> dict[str, Any]:
    """Write the result's files into the folder, and return the content of `result.json`.

    `model` is the entry of that name. Raises VlaaRayError if a file can't be written.
    """
    try:
        parts = {each.questions.name: figures_of(each.questions, each.verdicts) for each in scored}
        _write_lines(folder / ROWS, (row for each in scored for row in _rows(each, _write_pictures(each, folder))))
        _write_lines(
            folder / CLUSTERS, (line for name, (_, values) in parts.items() for line in _clusters(name, values))
        )
        result = {
            "model": model,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": vlaa_ray.__version__,
            "conditions": conditions_of(config, model),
            "benchmarks": {name: entry for name, (entry, _) in parts.items()},
            "mean_of_six": _mean_of_six({name: entry for name, (entry, _) in parts.items()}, config),
        }
        write_whole(folder / RESULT, json.dumps(result, indent=1) + "\n")
    except OSError as error:
        fix = "free space there, then run the same command again: nothing is asked twice"
        raise VlaaRayError(f"can't write the result: {error.strerror}", folder=str(folder), fix=fix) from error
    return result


def conditions_of(config: EvalConfig, model: dict[str, Any]) -> dict[str, Any]:
    """Return the conditions of an evaluation; the limits of pixels of an endpoint are its own, and None here.

    The scorer of open answers is one of them where records are evaluated.
    """
    own = model["kind"] != "endpoint"
    rollout, judge = config.rollout, config.judge
    conditions = {
        "name": config.conditions.name,
        "system_prompt": config.model.system_prompt,
        "style": config.conditions.style,
        "min_pixels": config.model.min_pixels if own else None,
        "max_pixels": config.model.max_pixels if own else None,
        "max_prompt_tokens": rollout.max_prompt_tokens if own else None,
        "max_completion_tokens": rollout.max_completion_tokens,
        "temperature": rollout.temperature,
        "top_p": rollout.top_p,
        "num_samples": rollout.num_samples,
        "seed": config.run.seed,
        "judge": {"model": judge.model, "url": without_credentials(judge.url)} if judge.url else None,
    }
    scorer = config.rewards.open_ended
    return conditions | ({"open_ended_scorer": scorer.model or scorer.scorer} if config.has_records else {})


def read_result(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's `result.json`.

    Raises DataError if it is missing or can't be read.
    """
    path = folder / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(result["benchmarks"], dict):
            raise ValueError("no benchmarks")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        fix = "give the folder of a finished evaluation"
        raise DataError(f"not the result of an evaluation: {error}", file=str(path), fix=fix) from error
    return dict(result)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file.

    Raises DataError if it can't be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"can't read the rows of an evaluation: {error}", file=str(path)) from error


def _rows(scored: Scored, pictures: dict[str, str]) -> Iterator[dict[str, Any]]:
    questions, answers = scored.questions, scored.answers
    for number, verdicts in enumerate(scored.verdicts):
        index = questions.index(number)
        about = {
            "question": _question(questions, number),
            "gold": questions.gold(number)[:_MAX_CHARS],
            "cluster": questions.cluster(number),
            "categories": dict(questions.categories(number)),
            "images": [pictures[image.sha256] for image in questions.images(number) if image.sha256 in pictures],
        }
        for sample, verdict in enumerate(verdicts):
            answer = answers.stored.get(AnswerKey(questions.name, index, sample)) if verdict.answered else None
            yield {
                "benchmark": questions.name,
                "index": index,
                "sample": sample,
                **about,
                "prediction": answer.prediction if answer else "",
                "finish_reason": answer.finish_reason if answer else "unanswered",
                "num_tokens": answer.num_tokens if answer else 0,
                **_verdict(verdict),
            }


def _verdict(verdict: AnswerVerdict) -> dict[str, Any]:
    return {
        "extracted": None if verdict.extracted is None else verdict.extracted[:_MAX_CHARS],
        "correct": verdict.correct,
        "value": verdict.value,
        "settled_by": verdict.settled_by,
        "reason": verdict.reason[:_MAX_CHARS],
    }


def _question(questions: QuestionSet, number: int) -> str:
    try:
        return questions.prompt(number).question
    except DataError as error:
        return f"(the question can't be made: {error.one_line()})"


def _clusters(name: str, clusters: ClusterValues) -> Iterator[dict[str, Any]]:
    for place, cluster in enumerate(clusters.names):
        yield {
            "benchmark": name,
            "cluster": cluster,
            "values": {key: values[place] for key, values in clusters.values.items()},
            "weights": {key: weights[place] for key, weights in clusters.weights.items()},
        }


def _mean_of_six(entries: dict[str, dict[str, Any]], config: EvalConfig) -> float | None:
    """Return the mean of the six headlines; None unless all six were asked whole."""
    whole = {section.name for section in config.benchmarks if section.num_rows is None and not section.records}
    if not BENCHMARKS or not set(BENCHMARKS) <= entries.keys() & whole:
        return None
    headlines = [entries[name]["scores"][entries[name]["headline"]]["value"] for name in BENCHMARKS]
    return float(sum(headlines) / len(headlines))


def _write_pictures(scored: Scored, folder: Path) -> dict[str, str]:
    """Write each picture once, at most 512 px a side; return {sha256: path in the folder} of those that are there."""
    questions = scored.questions
    pictures = {image.sha256: image for number in range(len(questions)) for image in questions.images(number)}
    (folder / _IMAGES).mkdir(exist_ok=True)
    with ThreadPoolExecutor(_THREADS) as threads:
        written = list(threads.map(lambda image: _write_picture(image, folder), pictures.values()))
    return {sha256: path for sha256, path in zip(pictures, written, strict=True) if path}


def _write_picture(image: ImageRef, folder: Path) -> str:
    """Write one small picture, and return its path in the folder; "" if it can't be decoded."""
    name = f"{_IMAGES}/{image.sha256}.jpg"
    if (folder / name).is_file():
        return name
    try:
        small = load(image, near_px=_SHOWN_PX)
    except DataError:
        return ""
    small.thumbnail((_SHOWN_PX, _SHOWN_PX))
    data = io.BytesIO()
    small.save(data, "jpeg", quality=85)
    with replacing(folder / name) as partial:
        partial.write_bytes(data.getvalue())
    return name


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
