"""`rollouts.html`: a viewer of all rollouts on disk, beside the report.

It is a page of its own for two reasons. The report allows no script at all, and a viewer is one. And the report stays
small enough to be sent to somebody, while this page may have up to 60 MB.
"""

from __future__ import annotations

from pathlib import Path

from vlaa_ray.report.html import write_page
from vlaa_ray.report.rollout_groups import MOST_CHARS, groups_on_page, pictures_on_page
from vlaa_ray.report.rows_viewer import block, viewer_parts
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.storage.metrics_file import step_of

ROLLOUTS_PAGE = "rollouts.html"
TEXT_BYTES = 42_000_000
"""The most bytes of rollouts in a page, without their pictures."""
PICTURE_BYTES = 16_000_000
"""The most bytes of pictures in a page, as data URIs."""


def write_rollouts_page(
    run: RecordedRun, text_bytes: int = TEXT_BYTES, picture_bytes: int = PICTURE_BYTES
) -> Path | None:
    """Write `rollouts.html` into the run folder and return its path; None, and no page, for a run without rollouts.

    The newest steps come first, as far as `text_bytes` and `picture_bytes` have room; the page says what it left out.
    """
    path = run.path / ROLLOUTS_PAGE
    page = groups_on_page(run, text_bytes)
    if not page.groups:
        path.unlink(missing_ok=True)  # of an earlier run in this folder
        return None
    pictures, num_without_room = pictures_on_page(run, page, picture_bytes)
    content = {
        "name": run.name,
        "page": page,
        "most_chars": MOST_CHARS,
        "num_without_room": num_without_room,
        "num_removed": _num_removed(run),
        "rows": {**viewer_parts("rollouts.js"), "rows_data": page.data, "pictures_data": block(pictures)},
    }
    return write_page(path, "rollouts.html.jinja", content)


def _num_removed(run: RecordedRun) -> int:
    """Return how many steps between the first and the last rollouts on disk have none any more."""
    kept = {step for step in map(step_of, run.rollout_files) if step is not None}
    return sum(min(kept) < row["step"] < max(kept) and row["step"] not in kept for row in run.metrics) if kept else 0
