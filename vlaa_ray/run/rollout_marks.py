"""The boxes and points of a rollout: those of the gold and those of the answer, as shares of the picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from vlaa_ray.records import GROUNDING_TYPES, index_of_gold_image
from vlaa_ray.rewards.marks import Shares, marks_in
from vlaa_ray.rewards.verifiers.frames import frame_sizes, known_frame
from vlaa_ray.storage.mapping_file import as_mapping
from vlaa_ray.text.conversation import context_of

Row = dict[str, Any]


class RolloutMark(NamedTuple):
    """A box or a point; `owner` is `gold` or `predicted`."""

    owner: str
    shares: Shares


def marks_of(row: Row) -> Iterator[RolloutMark]:
    """Yield the marks of a rollout that lie inside the picture, the gold's first.

    The row's `verifier_params` name the frame of its coordinates. Without a frame they count as shares.
    """
    kind, params = row.get("verifier_type"), as_mapping(row.get("verifier_params"))
    if kind not in GROUNDING_TYPES:
        return
    frame, gold_frame = known_frame(params.get("frame")), known_frame(params.get("gold_frame"))
    sizes = frame_sizes(frame or "unit", gold_frame, params.get("image_size"), params.get("input_size"))
    if isinstance(sizes, str):
        return
    for owner, value, size in (("gold", row.get("gold"), sizes[1]), ("predicted", row.get("extracted"), sizes[0])):
        yield from (RolloutMark(owner, shares) for shares in marks_in(value, kind, size)[0])


def marked_image(row: Row) -> int:
    """Return the index of the image that the marks of a rollout lie on; -1 for a rollout without images."""
    images = row.get("images")
    try:
        _, history = context_of(row)
    except ValueError:  # written by something else
        history = ()
    return index_of_gold_image(len(images) if isinstance(images, list) else 0, history)
