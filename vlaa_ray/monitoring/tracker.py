"""The writer of a run's numbers: `metrics.jsonl`, sampled rollouts, and copies for TensorBoard, W&B and MLflow.

`metrics.jsonl` (one JSON object a step) is the source of truth. A metric's name must be in the table of
`monitoring.names`. The trackers get copies through bounded queues, from threads of their own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vlaa_ray.config import TrackingSection
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.mlflow_sink import MlflowSink
from vlaa_ray.monitoring.names import describe
from vlaa_ray.monitoring.rollout_archive import RolloutArchive
from vlaa_ray.monitoring.sinks import BackgroundSink, MakePictures, TensorBoardSink, WandbSink
from vlaa_ray.storage.layout import DROPPED, METRICS
from vlaa_ray.storage.metrics_file import drop_torn_line, read_metrics

LOG = logging.getLogger(__name__)


class Tracker:
    """The writer of a run's numbers, sampled rollouts and their images into the run folder.

    Writing to the run folder must succeed; an OSError is raised otherwise. A tracker may fail, hang or be missing:
    the log says so once, that tracker is switched off, and `log` never waits for it.
    """

    def __init__(self, run_dir: Path, tracking: TrackingSection, run_name: str, config: dict[str, Any]) -> None:
        self._run_dir = Path(run_dir)
        self._archive = RolloutArchive(self._run_dir, tracking.rollouts_bytes)
        path = self._run_dir / METRICS
        drop_torn_line(path)
        done = read_metrics(self._run_dir)
        next_step = done[-1]["step"] + 1 if done else None
        self._lines = path.open("a", encoding="utf-8")
        self._sinks: list[BackgroundSink] = []
        if tracking.tensorboard:
            self._sinks.append(BackgroundSink("TensorBoard", partial(TensorBoardSink, self._run_dir, next_step)))
        mode = os.environ.get("WANDB_MODE") or tracking.wandb
        if mode != "disabled":
            make = partial(WandbSink, self._run_dir, mode, tracking.wandb_project, run_name, config)
            self._sinks.append(BackgroundSink("W&B", make))
        if tracking.mlflow:
            server = partial(MlflowSink, self._run_dir, tracking.mlflow, tracking.mlflow_experiment, run_name, config)
            self._sinks.append(BackgroundSink("MLflow", server))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line to `metrics.jsonl`; a number that is not finite becomes null, with a warning.

        Raises:
            VlaaRayError: a name is not in the table of metrics, or a value is not a number.

        """
        row = {"step": step, **{name: _number(name, value, step) for name, value in metrics.items() if name != "step"}}
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()
        for sink in self._sinks:
            sink.put(row)

    def log_rollouts(self, step: int, rows: list[dict[str, Any]]) -> None:
        """See `RolloutArchive.write`."""
        self._archive.write(step, rows)

    def show(self, step: int, make: MakePictures) -> None:
        """Give pictures of the step to the trackers, whose threads call `make`."""
        for sink in self._sinks:
            sink.put_pictures(step, make)

    def log_dropped(self, rows: list[dict[str, Any]]) -> None:
        """Append rows to `dropped.jsonl`: the step, id and reason of samples that could not be trained on."""
        if rows:
            text = "".join(json.dumps(row) + "\n" for row in rows)  # in ASCII: an id may hold what UTF-8 can't encode
            with (self._run_dir / DROPPED).open("a", encoding="ascii") as lines:
                lines.write(text)

    def save_image(self, sha256: str, data: bytes) -> str:
        """See `RolloutArchive.save_image`."""
        return self._archive.save_image(sha256, data)

    def close(self, timeout_s: float = 15.0) -> None:
        """End the trackers, waiting at most `timeout_s` for all of them together; safe to call twice."""
        deadline = time.monotonic() + timeout_s
        self._lines.close()
        for sink in self._sinks:
            sink.finish.set()
        for sink in self._sinks:
            sink.join(deadline)
        self._sinks = []


def _number(name: str, value: Any, step: int) -> float | int | None:
    describe(name)
    try:
        number = value if isinstance(value, int) else float(value)
    except (TypeError, ValueError) as error:
        raise VlaaRayError(f"metric {name!r} is not a number", step=step, got=repr(value)) from error
    if math.isfinite(number):
        return number
    LOG.warning("step %d: %s is %s; written as null", step, name, number)
    return None
