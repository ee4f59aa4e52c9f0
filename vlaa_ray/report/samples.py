"""Rollouts to read: per verifier type the best and the worst of the first and of the last steps, with pictures.

Questions, completions and gold answers are text of others: they leave here as plain strings, which the page's
template escapes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference
from vlaa_ray.records import in_order
from vlaa_ray.report.thumbnails import BoxOnPicture, Picture, thumbnail
from vlaa_ray.rewards.verifiers.grounding import read_boxes
from vlaa_ray.run.reader import RecordedRun, Row

_MAX_CHARS = 6000


@dataclass(frozen=True)
class RolloutView:
    """A rollout in the words of the page; `completion` is in pieces of (`think` | `answer` | `plain`, text)."""

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
    """The samples of one verifier type from one end of the run."""

    title: str
    samples: tuple[RolloutView, ...]


def samples_of(run: RecordedRun) -> dict[str, tuple[Period, ...]]:
    """Early and late samples by verifier type; one period where the run has rollouts of one step only; {} for none."""
    early, late = run.rollouts(late=False), run.rollouts(late=True)
    found = {}
    for kind in in_order(str(row.get("verifier_type")) for row in [*early, *late]):
        periods = [_period(run, title, kind, rows) for title, rows in (("Early", early), ("Late", late))]
        kept = [period for period in periods if period is not None]
        if len(kept) == 2 and kept[0].samples[0].step == kept[1].samples[0].step:
            kept = [Period(f"Step {kept[0].samples[0].step}", kept[0].samples)]
        if kept:
            found[kind] = tuple(kept)
    return found


def _period(run: RecordedRun, title: str, kind: str, rows: list[Row]) -> Period | None:
    """The best and the worst rollout of the first step in `rows` that has any of this verifier type."""
    of_kind = [row for row in rows if row.get("verifier_type") == kind]
    if not of_kind:
        return None
    step = of_kind[0].get("step")
    same_step = [row for row in of_kind if row.get("step") == step]
    judged = sorted((row for row in same_step if _is_number(row.get("reward"))), key=lambda row: row["reward"])
    if not judged:
        return Period(f"{title}: step {step}", (_sample(run, "not judged", same_step[0]),))
    chosen = [("best", judged[-1])] + ([("worst", judged[0])] if len(judged) > 1 else [])
    return Period(f"{title}: step {step}", tuple(_sample(run, label, row) for label, row in chosen))


def _sample(run: RecordedRun, label: str, row: Row) -> RolloutView:
    reward = row.get("reward")
    quality = "none" if not _is_number(reward) else "high" if reward >= 0.75 else "low" if reward < 0.25 else "middle"
    images = row.get("images")
    return RolloutView(
        label=label,
        step=int(row["step"]) if _is_number(row.get("step")) else 0,
        question=shown_text(row.get("question")),
        gold=shown_text(row.get("gold")),
        completion=pieces(shown_text(row.get("completion"))),
        reward=f"{reward:.3f}" if _is_number(reward) else "not judged",
        quality=quality,
        facts=_facts(row),
        pictures=tuple(picture(run.path, image, row) for image in (images if isinstance(images, list) else [])),
    )


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
    """The completion cut into `think`, `answer` and `plain` pieces, tags kept; an open tag runs to the end.

    Joined, the pieces are the completion.
    """
    found = []
    for match in re.finditer(r"<(think|answer)>.*?(?:</\1>|\Z)|(?:(?!<think>|<answer>).)+", completion, re.DOTALL):
        found.append((match[1] or "plain", match[0]))
    return tuple(found)


def picture(run_dir: Path, image: Any, row: Row) -> Picture:
    """The image that a rollout names (a path inside the run folder), for the page; `missing` says why there is none."""
    name = image.get("path") if isinstance(image, dict) else None
    if not isinstance(name, str) or not name:
        return Picture(missing="the rollout names no picture file")
    path = (run_dir / name).resolve()
    if not path.is_relative_to(run_dir.resolve()):
        return Picture(missing=f"the picture lies outside of the run folder: {name}")
    if not path.is_file():
        return Picture(missing=f"the picture is not there: {name}")
    try:
        found = reference(path, name)
    except DataError as error:
        return Picture(missing=f"the picture can't be read: {name}: {error.one_line()}")
    return thumbnail(found, boxes_of(row) if row.get("verifier_type") == "iou" else ())


def boxes_of(row: Row) -> tuple[BoxOnPicture, ...]:
    """The gold and the predicted boxes of an iou rollout that lie in the unit frame; others are not drawn."""
    found = []
    for owner, value in (("gold", row.get("gold")), ("predicted", row.get("extracted"))):
        for x1, y1, x2, y2 in read_boxes(value)[:8]:
            if 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1:
                found.append(BoxOnPicture(owner, x1, y1, x2 - x1, y2 - y1))
    return tuple(found)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown_text(value: Any) -> str:
    """A text as it is, anything else as JSON; cut where it is long."""
    text = (
        value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    )
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]} … ({len(text) - _MAX_CHARS} more characters)"
