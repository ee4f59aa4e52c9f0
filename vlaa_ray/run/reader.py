"""The reader of run folders: a missing or damaged file becomes a remark, never an exception."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vlaa_ray.config import parse_yaml
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.storage.layout import CONFIG
from vlaa_ray.storage.mapping_file import as_mapping, read_mapping
from vlaa_ray.storage.metrics_file import read_metrics

Row = dict[str, Any]
_MAX_ROLLOUT_FILES = 8


@dataclass(frozen=True)
class RecordedRun:
    """A run's files in Python's types; `remarks` says what is missing or can't be read."""

    path: Path
    metrics: list[dict[str, float]]
    state: dict[str, Any]
    config: dict[str, Any]
    remarks: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> RecordedRun:
        """Return the folder's content.

        Raises:
            VlaaRayError: there is no such folder.

        """
        path, remarks = Path(path), []
        if not path.is_dir():
            raise VlaaRayError("no such run folder", fix="give the folder of a run, such as runs/NAME", got=str(path))
        try:
            metrics = read_metrics(path)
        except (VlaaRayError, OSError) as error:
            metrics = []
            remarks.append(f"metrics.jsonl can't be read: {error}")
        if not metrics and not remarks:
            remarks.append("There is no metrics.jsonl with a finished step in this run folder.")
        state, no_state = read_mapping(path / "run.json", json.loads)
        config, no_config = read_mapping(path / CONFIG, parse_yaml)
        remarks += filter(None, (no_state, no_config))
        rows = sorted((_numbers(row) for row in metrics), key=lambda row: row["step"])
        return cls(path, rows, state, config, tuple(remarks))

    @property
    def name(self) -> str:
        """`run.name` of its config; the name of its folder where no config says one."""
        return str(as_mapping(self.config.get("run")).get("name") or self.path.resolve().name)

    @property
    def last_step(self) -> int | None:
        """The last step that was logged; None before the first."""
        return int(self.metrics[-1]["step"]) if self.metrics else None

    def series(self, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of a metric for each step in which it has a value."""
        return [(int(row["step"]), row[name]) for row in self.metrics if name in row]

    def names(self) -> list[str]:
        """Return the metrics that have a value in some step, in the order in which they first appear."""
        return list(dict.fromkeys(name for row in self.metrics for name in row))

    @cached_property
    def rollout_files(self) -> list[Path]:
        """The rollout files in the order of their steps."""
        return sorted(file for file in (self.path / "rollouts").glob("step_*.jsonl") if file.is_file())

    def rollouts(self, *, late: bool) -> list[Row]:
        """Return the rollouts of the first steps in order, or, with `late`, those of the last steps from the end.

        At most 8 files are read.
        """
        files = self.rollout_files[::-1] if late else self.rollout_files
        return [row for file in files[:_MAX_ROLLOUT_FILES] for row in _json_lines(file)]

    def rollouts_by_step(self) -> Iterator[list[Row]]:
        """Yield the rollouts of each step, from the last step to the first; a file is read when its turn comes."""
        for file in self.rollout_files[::-1]:
            yield list(_json_lines(file))


def _numbers(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, int | float) and math.isfinite(value)}


def _json_lines(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the end of a file that is just being written
        if isinstance(row, dict):
            yield row
