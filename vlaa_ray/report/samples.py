"""Sample rollouts for the report: the best and the worst of each verifier type, early and late in the run.

Questions, completions and gold answers are foreign text. They leave this module as plain strings, and the page's
template escapes them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference
from vlaa_ray.records import in_order, num_images_of_question
from vlaa_ray.report.thumbnails import REPORT_PICTURE, Mark, MostOfPicture, Picture, mark_on_picture, thumbnail
from vlaa_ray.run.reader import RecordedRun, Row
from vlaa_ray.run.rollout_marks import marked_image, marks_of
from vlaa_ray.text.conversation import context_of, one_text

_MAX_CHARS = 6000


@dataclass(frozen=True)
class RolloutView:
    """The texts and pictures that the page shows of one rollout.

    `completion` is a sequence of (`think` | `answer` | `plain`, text), as `pieces` makes it.
    """

    label: str
    step: int
    question: str
    gold: str
    completion: tuple[tuple[str, str], ...]
    reward: str
    quality: str
    facts: tuple[tuple[str, str], ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Period:
    """The samples of one verifier type from the start or from the end of the run."""

    title: str
    samples: tuple[RolloutView, ...]


def samples_of(run: RecordedRun) -> dict[str, tuple[Period, ...]]:
    """Return the early and the late samples by verifier type.

    Where both are from the same step, there is one period instead of two. A run without rollouts has {}.
    """
    early, late = run.rollouts(late=False), run.rollouts(late=True)
    samples = {}
    for verifier_type in in_order(str(row.get("verifier_type")) for row in [*early, *late]):
        periods = [_period(run, title, verifier_type, rows) for title, rows in (("Early", early), ("Late", late))]
        kept = [period for period in periods if period is not None]
        if len(kept) == 2 and kept[0].samples[0].step == kept[1].samples[0].step:
            kept = [Period(f"Step {kept[0].samples[0].step}", kept[0].samples)]
        if kept:
            samples[verifier_type] = tuple(kept)
    return samples


def _period(run: RecordedRun, title: str, verifier_type: str, rows: list[Row]) -> Period | None:
    """Return the best and the worst rollout of the first step in `rows` that has this verifier type; None without."""
    of_type = [row for row in rows if row.get("verifier_type") == verifier_type]
    if not of_type:
        return None
    step = of_type[0].get("step")
    same_step = [row for row in of_type if row.get("step") == step]
    judged = sorted((row for row in same_step if is_number(row.get("reward"))), key=lambda row: row["reward"])
    if not judged:
        return Period(f"{title}: step {step}", (_sample(run, "not judged", same_step[0]),))
    chosen = [("best", judged[-1])] + ([("worst", judged[0])] if len(judged) > 1 else [])
    return Period(f"{title}: step {step}", tuple(_sample(run, label, row) for label, row in chosen))


def _sample(run: RecordedRun, label: str, row: Row) -> RolloutView:
    reward = row.get("reward")
    quality = "none" if not is_number(reward) else "high" if reward >= 0.75 else "low" if reward < 0.25 else "middle"
    images = row.get("images")
    return RolloutView(
        label=label,
        step=int(row["step"]) if is_number(row.get("step")) else 0,
        question=shown_text(asked_text(row, len(images) if isinstance(images, list) else 0)),
        gold=shown_text(row.get("gold")),
        completion=pieces(shown_text(row.get("completion"))),
        reward=f"{reward:.3f}" if is_number(reward) else "not judged",
        quality=quality,
        facts=_facts(row),
        pictures=_pictures(run.path, row, images if isinstance(images, list) else []),
    )


def _pictures(run_dir: Path, row: Row, images: list[Any]) -> tuple[Picture, ...]:
    marked = marked_image(row)
    return tuple(picture(run_dir, image, marks_on(row) if n == marked else ()) for n, image in enumerate(images))


def asked_text(row: Row, num_images: int) -> Any:
    """Return the question of a rollout, below its system text and its earlier turns if it has them."""
    question = row.get("question")
    try:
        system, history = context_of(row)
    except ValueError:  # written by something else; the question itself can still be shown
        return question
    own = num_images_of_question(num_images, history)
    return one_text(question, own, system, history) if isinstance(question, str) else question


def _facts(row: Row) -> tuple[tuple[str, str], ...]:
    names = {
        "extracted": "answer found",
        "reason": "reason",
        "parts": "parts of the reward",
        "advantage": "advantage",
        "num_tokens": "tokens",
        "finish_reason": "ended by",
        "rollout_logprob_mean": "mean logprob",
        "weight_version": "weight version",
        "prompt_id": "prompt",
        "source": "source",
    }
    shown = {title: row.get(key) for key, title in names.items() if row.get(key) not in (None, "", {})}
    return tuple(
        (title, f"{value:.3f}" if isinstance(value, float) else shown_text(value)) for title, value in shown.items()
    )


def pieces(completion: str) -> tuple[tuple[str, str], ...]:
    """Return the completion as pieces: (`think` | `answer` | `plain`, text with its tags).

    A tag that is never closed runs to the end. The texts joined are the completion again.
    """
    pattern = r"<(think|answer)>.*?(?:</\1>|\Z)|(?:(?!<think>|<answer>).)+"
    return tuple((match[1] or "plain", match[0]) for match in re.finditer(pattern, completion, re.DOTALL))


def picture(run_dir: Path, image: Any, marks: tuple[Mark, ...] = (), most: MostOfPicture = REPORT_PICTURE) -> Picture:
    """Return the image that a rollout names by a path inside the run folder, with marks to draw on it.

    Where it can't be shown, the `missing` of the result says why.
    """
    name = image.get("path") if isinstance(image, dict) else None
    if not isinstance(name, str) or not name:
        return Picture(missing="the rollout names no picture file")
    path = (run_dir / name).resolve()
    if not path.is_relative_to(run_dir.resolve()):
        return Picture(missing=f"the picture lies outside the run folder: {name}")
    if not path.is_file():
        return Picture(missing=f"the picture does not exist: {name}")
    try:
        image_ref = reference(path, name)
    except DataError as error:
        return Picture(missing=f"the picture can't be read: {name}: {error.one_line()}")
    return thumbnail(image_ref, marks, most)


def marks_on(row: Row) -> tuple[Mark, ...]:
    """Return the boxes and points of the gold and of the answer of a rollout."""
    return tuple(mark_on_picture(mark.owner, mark.shares) for mark in marks_of(row))


def is_number(value: Any) -> TypeGuard[float]:
    """Return True for an int or a float; a bool is no number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown_text(value: Any) -> str:
    """Return a text as it is, None as "", and anything else as JSON; at most 6,000 characters, with a note of a cut."""
    text = (
        value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    )
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]} … ({len(text) - _MAX_CHARS} more characters)"
