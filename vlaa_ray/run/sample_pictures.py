"""Sample rollouts as pictures with their boxes drawn, for the trackers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load, reference
from vlaa_ray.images.overlay import draw_marks
from vlaa_ray.monitoring.sinks import SamplePicture
from vlaa_ray.rewards.verifiers.frames import from_unit
from vlaa_ray.run.rollout_marks import marked_image, marks_of

_SIDE_PX = 448
_MOST_TYPES = 8
_MOST_CHARS = 2000

Row = dict[str, Any]


def sample_pictures(run_dir: Path, rows: list[Row]) -> list[SamplePicture]:
    """Return the first rollout with a picture of each verifier type, for at most eight types.

    A picture that can't be read is left out: it may have gone with an old step.
    """
    pictures: dict[str, SamplePicture] = {}
    for row in rows:
        kind = str(row.get("verifier_type"))
        if kind not in pictures and len(pictures) < _MOST_TYPES and (drawn := _drawn(run_dir, kind, row)):
            pictures[kind] = drawn
    return list(pictures.values())


def _drawn(run_dir: Path, kind: str, row: Row) -> SamplePicture | None:
    images = row.get("images")
    if not images:
        return None
    name = images[marked_image(row)]["path"]
    try:
        picture = load(reference(run_dir / name, name), near_px=2 * _SIDE_PX)
    except DataError:
        return None
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    marks = [(from_unit(mark.shares, picture.size), mark.owner) for mark in marks_of(row)]
    return SamplePicture(kind, draw_marks(picture, marks), _caption(row))


def _caption(row: Row) -> str:
    """Return question, completion, gold and reward, each on lines of its own."""
    reward = row.get("reward") if row.get("valid") else f"not judged: {row.get('reason')}"
    parts = (row.get("question"), row.get("completion"), f"gold: {row.get('gold')}", f"reward: {reward}")
    return "\n\n".join(str(part)[:_MOST_CHARS] for part in parts)
