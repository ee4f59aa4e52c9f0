"""Copies of a run's metrics, config and sample pictures for an MLflow server."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.sinks import SamplePicture, Sink
from vlaa_ray.storage.mapping_file import flat

_MOST_PARAMS, _MOST_METRICS, _MOST_CHARS = 100, 1000, 6000  # of one request, by MLflow's REST API


class MlflowSink(Sink):
    """A sink for a run of an MLflow server; a resumed run continues the same one.

    `address` is MLflow's tracking URI. User and password, or a token, come from MLflow's own environment variables.

    Raises:
        VlaaRayError: the package is missing.

    """

    def __init__(self, run_dir: Path, address: str, experiment: str, name: str, config: dict[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow.entities import Metric, Param
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise VlaaRayError("mlflow is not installed", fix="pip install 'vlaa-ray[mlflow]'") from error
        self._client, self._metric = MlflowClient(tracking_uri=address), Metric
        id_file = run_dir / "mlflow" / "run_id"
        if id_file.exists():
            self._run_id = id_file.read_text()
            self._client.update_run(self._run_id, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else self._client.create_experiment(experiment)
        self._run_id = self._client.create_run(experiment_id, run_name=name).info.run_id
        params = [Param(key, str(value)[:_MOST_CHARS]) for key, value in flat(config).items()]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run_id, params=params[start : start + _MOST_PARAMS])
        id_file.parent.mkdir(exist_ok=True)
        id_file.write_text(self._run_id)

    def write(self, row: dict[str, Any]) -> None:
        """Send the finite metrics of one step."""
        now_ms = int(time.time() * 1000)
        metrics = [
            self._metric(name, float(value), now_ms, row["step"])
            for name, value in row.items()
            if name != "step" and value is not None
        ]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + _MOST_METRICS])

    def show(self, step: int, pictures: Sequence[SamplePicture]) -> None:
        """Send the pictures, and their captions as texts beside them."""
        for sample in pictures:
            self._client.log_image(self._run_id, sample.picture, key=sample.name, step=step, synchronous=True)
            self._client.log_text(self._run_id, sample.caption, f"{sample.name}/step_{step:06d}.txt")

    def close(self) -> None:
        """End the run at the server."""
        self._client.set_terminated(self._run_id)
