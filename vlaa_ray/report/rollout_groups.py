"""The rollouts of a run as groups, in the JSON that `rollouts.html` holds: as many of the newest as have room.

A group is all completions of one prompt in one step. Questions, completions and golds are foreign text. They leave this
module only as JSON in which no character can end a data block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vlaa_ray.records import in_order
from vlaa_ray.report.html import safe
from vlaa_ray.report.rows_viewer import block, cut
from vlaa_ray.report.samples import asked_text, is_number, picture, shown_text
from vlaa_ray.report.thumbnails import MostOfPicture, mark_on_picture
from vlaa_ray.run.reader import RecordedRun, Row
from vlaa_ray.run.rollout_marks import marked_image, marks_of

MOST_CHARS = 6_000
"""The most characters of a completion; a longer one has its middle left out."""
SMALL = MostOfPicture(side_px=320, png_bytes=8_000, jpeg_quality=75)
_COLUMNS = {
    "sample": "sample",
    "tokens": "num_tokens",
    "ended": "finish_reason",
    "reward": "reward",
    "advantage": "advantage",
    "logprob": "rollout_logprob_mean",
    "version": "weight_version",
}
"""The figures of a rollout: the name in the page, and the key in the row."""
_TEXTS = ("completion", "extracted", "reason", "parts")
COLUMNS = (*_COLUMNS, *_TEXTS, "marks")
"""The places of a rollout's list. A browser reads lists in about half the time of objects with these names."""


@dataclass
class GroupsOnPage:
    """The groups that have room, the newest step first, and what the page's filters and remarks need.

    `image_of` has, for each picture's path, the entry of a row to make the picture from.
    `full_at` is the step at which the page was full: a part of it and all steps before it are not on the page.
    """

    groups: list[str] = field(default_factory=list)
    num_rollouts: int = 0
    num_bytes: int = 0
    types: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    image_of: dict[str, Any] = field(default_factory=dict)
    has_cut_texts: bool = False
    full_at: int | None = None

    def add(self, rows: Sequence[Row], room_bytes: int) -> bool:
        """Take a group's rows and return True, or return False if they don't fit into `room_bytes` with the others."""
        group = str(block(self._group(rows)))
        size = len(group.encode(errors="replace"))
        if self.num_bytes + size > room_bytes:
            return False
        first = rows[0]
        self.groups.append(group)
        self.num_bytes += size
        self.num_rollouts += len(rows)
        self.types.add(shown_text(first.get("verifier_type")))
        self.sources.add(shown_text(first.get("source")))
        self.image_of |= {path: image for path, image in _images(first) if path not in self.image_of}
        self.has_cut_texts |= any(len(str(row.get(name))) > MOST_CHARS for row in rows for name in _TEXTS)
        return True

    def _group(self, rows: Sequence[Row]) -> dict[str, Any]:
        first = rows[0]
        images = _images(first)
        return {
            "step": step_of(first),
            "type": shown_text(first.get("verifier_type")),
            "source": shown_text(first.get("source")),
            "prompt": shown_text(first.get("prompt_id")),
            "question": shown_text(asked_text(first, len(images))),
            "gold": shown_text(first.get("gold")),
            "pictures": [path for path, _ in images],
            "marked": marked_image(first),
            "marks": _marks(first, "gold"),
            "rollouts": [_rollout(row) for row in rows],
        }

    @property
    def data(self) -> Any:
        """The block that `rollouts.js` reads."""
        return safe(f'{{"columns":{block(COLUMNS)},"groups":[{",".join(self.groups)}]}}')

    @property
    def verifier_types(self) -> list[str]:
        """The verifier types in their usual order."""
        return in_order(self.types)


def groups_on_page(run: RecordedRun, room_bytes: int) -> GroupsOnPage:
    """Return the groups of the newest steps, `room_bytes` of them at most as UTF-8."""
    page = GroupsOnPage()
    for step_rows in run.rollouts_by_step():
        for rows in _by_prompt(step_rows):
            if not page.add(rows, room_bytes):
                page.full_at = step_of(rows[0])
                return page
    return page


def pictures_on_page(run: RecordedRun, page: GroupsOnPage, room_bytes: int) -> tuple[dict[str, Any], int]:
    """Return the pictures by their paths, each once, and the number of those that had no room.

    The pictures of the newest groups come first. One that can't be shown has its reason under `missing`.
    """
    shown: dict[str, Any] = {}
    num_bytes = 0
    for path, image in page.image_of.items():
        made = picture(run.path, image, most=SMALL)
        if num_bytes + len(made.uri) > room_bytes:
            return shown, len(page.image_of) - len(shown)
        num_bytes += len(made.uri)
        shown[path] = {"uri": made.uri, "pixelated": made.pixelated, "missing": made.missing}
    return shown, 0


def step_of(row: Row) -> int:
    """Return the step of a rollout; 0 where it has none."""
    step = row.get("step")
    return int(step) if is_number(step) and math.isfinite(step) else 0


def _by_prompt(rows: list[Row]) -> list[list[Row]]:
    """Return the rollouts of a step by their prompts, in the order in which the prompts appear."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        prompt = tuple(shown_text(row.get(key)) for key in ("position", "prompt_id", "question"))
        groups.setdefault(prompt, []).append(row)
    return list(groups.values())


def _rollout(row: Row) -> list[Any]:
    """Return a rollout in the order of COLUMNS."""
    figures = [_short(row.get(key)) for key in _COLUMNS.values()]
    texts = [_text(row.get(name)) for name in _TEXTS]
    return [*figures, *texts, _marks(row, "predicted")]


def _text(value: Any) -> str:
    """Return a text without the middle that is too much: an answer is near the end. Other values are JSON."""
    return cut(value, MOST_CHARS) if isinstance(value, str) else "" if value in ({}, []) else shown_text(value)


def _short(value: Any) -> Any:
    """Return a number with four decimals, None for one that JSON can't hold, and anything else as text."""
    if value is None or not is_number(value):
        return None if value is None else shown_text(value)
    return round(value, 4) if math.isfinite(value) else None


def _marks(row: Row, owner: str) -> list[list[float]]:
    """Return the boxes (x, y, width, height) and points (x, y) of one owner in the unit frame."""
    drawn = [mark_on_picture(*mark) for mark in marks_of(row) if mark.owner == owner]
    return [[round(number, 4) for number in mark[1:]] for mark in drawn]


def _images(row: Row) -> list[tuple[str, Any]]:
    """Return (path, entry) of each image of a rollout; an entry that names no file has a text instead of its path."""
    images = row.get("images")
    entries = images if isinstance(images, list) else []
    return [(shown_text(entry.get("path") if isinstance(entry, dict) else entry), entry) for entry in entries]
