"""Copies of a run for MLflow: its own client, and its store of files in place of a server."""

import re

import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from vlaa_ray.config import GrpoConfig, TrackingSection
from vlaa_ray.monitoring.sinks import SamplePicture
from vlaa_ray.monitoring.tracker import Tracker


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file:{tmp_path / 'server'}"


def tracker_at(server, folder):
    tracking = TrackingSection(tensorboard=False, wandb="disabled", mlflow=server)
    return Tracker(folder, tracking, "demo", {"run": {"seed": 1}, "data": {"train": "x" * 9000}})


def test_a_resumed_run_goes_on_as_the_same_run(server, tmp_path):
    for steps in ((1, 2), (3,)):
        tracker = tracker_at(server, tmp_path / "run")
        for step in steps:
            tracker.log(step, {"reward/mean": step / 4, "policy/kl": float("nan")})
        tracker.close()
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("vlaa-ray")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("demo", "FINISHED")
    assert run.data.params["run.seed"] == "1" and len(run.data.params["data.train"]) == 6000
    history = client.get_metric_history(run.info.run_id, "reward/mean")
    assert [(point.step, point.value) for point in history] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert "policy/kl" not in run.data.metrics


def test_pictures_are_images_of_their_step(server, tmp_path):
    tracker = tracker_at(server, tmp_path / "run")
    tracker.show(3, lambda: [SamplePicture("iou", Image.new("RGB", (40, 20)), "Where?")])
    tracker.close()
    run_id = (tmp_path / "run/mlflow/run_id").read_text()
    client = MlflowClient(server)
    names = [file.path for file in client.list_artifacts(run_id, "images")]
    assert any(re.search("samples.iou.step.3.", name) for name in names), names
    assert [file.path for file in client.list_artifacts(run_id, "samples/iou")] == ["samples/iou/step_000003.txt"]


def test_a_server_that_refuses_is_switched_off_and_changes_nothing(tmp_path, caplog):
    tracker = tracker_at("file:/proc/nowhere", tmp_path / "run")
    tracker.log(1, {"reward/mean": 0.5})
    tracker.close()
    assert "MLflow is switched off for this run" in caplog.text
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 1


def test_an_address_with_a_password_is_refused():
    values = {"run": {"name": "t", "num_steps": 1}, "model": {"path": "none"}}
    with pytest.raises(ValueError, match="no user and no password here"):
        GrpoConfig.model_validate(values | {"tracking": {"mlflow": "https://me:secret@host/api"}})
