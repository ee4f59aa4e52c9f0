"""`metrics.jsonl`, a run's numbers: one JSON object a step, the source of truth."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.layout import DROPPED, METRICS


def read_metrics(run_dir: Path, name: str = METRICS) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl` ([] without the file); a torn last line is left out, any other is an error."""
    path = Path(run_dir) / name
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            if number == len(lines):
                break
            fix = "delete the line, or move the file away"
            raise VlaaRayError(f"not a row of metrics: {error}", file=str(path), row=number, fix=fix) from error
        rows.append(row)
    return rows


def step_of(path: Path) -> int | None:
    """Return the step of a file of rollouts, `rollouts/step_000012.jsonl`; None if its name has none."""
    number = path.stem.removeprefix("step_")
    return int(number) if number.isdecimal() else None


def truncate_after(run_dir: Path, step: int) -> None:
    """Remove the metrics, rollouts and dropped prompts of steps after `step`; a resumed run writes them again."""
    run_dir = Path(run_dir)
    for path in (run_dir / "rollouts").glob("step_*.jsonl"):
        if (number := step_of(path)) is not None and number > step and path.is_file():
            path.unlink()
    for name in (METRICS, DROPPED):
        if (run_dir / name).exists():
            kept = [row for row in read_metrics(run_dir, name) if row["step"] <= step]
            write_whole(run_dir / name, "".join(json.dumps(row) + "\n" for row in kept))


def drop_torn_line(path: Path) -> None:
    """Remove an incomplete last line, which a killed writer left, so that the next row begins on a new line."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)
