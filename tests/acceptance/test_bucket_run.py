"""A whole run whose folder and model lie in a bucket; it is killed, and goes on on a machine with an empty disk."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from buckets import SECRET, bucket_server, reached
from quickstart import ROOT, SMALL, metrics, train

from vlaa_ray.cli import main
from vlaa_ray.run.remote_checkpoints import list_remote
from vlaa_ray.run.remote_sources import fetch_run
from vlaa_ray.storage.metrics_file import read_metrics
from vlaa_ray.storage.places import BucketPath

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
NAMES = ("policy/loss", "policy/grad_norm", "reward/mean", "completion/mean_tokens", "learning_rate")


@pytest.fixture
def bucket(tmp_path):
    with bucket_server("s3", tmp_path) as server, reached(server):
        yield server


def start(runs: str, machine: Path, model: str) -> subprocess.Popen:
    """Start the run on a machine: nothing of another one's disk is used."""
    command = [sys.executable, "-m", "vlaa_ray", "train", "--config", str(ROOT / "configs/quickstart.yaml"), *SMALL]
    command += [f"run.dir={runs}", f"run.local_dir={machine}", "run.lease_s=6", f"model.path={model}"]
    environment = os.environ | {"VLAA_RAY_CACHE": str(machine / "cache")}
    log = (machine / "output.txt").open("w")
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def test_a_run_in_a_bucket_is_killed_and_goes_on_elsewhere_exactly(bucket, tmp_path, capsys):
    whole = tmp_path / "whole"
    whole.mkdir()
    result = train(whole)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    model = bucket.new_folder("model")
    for file in (ROOT / "vlaa_ray/models/builtin/tiny-base").iterdir():
        (BucketPath.parse(model) / file.name).write(file.read_bytes())
    runs, first, second = bucket.new_folder(), tmp_path / "machine-1", tmp_path / "machine-2"
    first.mkdir()
    second.mkdir()
    checkpoints = BucketPath.parse(runs) / "quickstart/checkpoints"
    driver, deadline = start(runs, first, model), time.monotonic() + 400
    while not any(checkpoint.is_finished for checkpoint in list_remote(checkpoints)):
        assert driver.poll() is None and time.monotonic() < deadline, (first / "output.txt").read_text()[-3000:]
        time.sleep(0.2)
    driver.kill()
    driver.wait()
    assert main(["status", f"{runs}/quickstart"]) == 0
    driver = start(runs, second, model)
    assert driver.wait(500) == 0, (second / "output.txt").read_text()[-3000:]
    resumed = read_metrics(fetch_run(f"{runs}/quickstart"))
    assert [row["step"] for row in resumed] == [0, 1, 2, 3, 4]
    for one, other in zip(metrics(whole), resumed, strict=True):
        for name in NAMES:
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-6), (one["step"], name)
    folder = fetch_run(f"{runs}/quickstart")
    for number in range(1, 5):
        name = f"rollouts/step_{number:06d}.jsonl"
        rows = [
            [json.loads(line)["completion"] for line in (run / name).read_text().splitlines()]
            for run in (whole / "quickstart", folder)
        ]
        assert rows[0] == rows[1]
    state = json.loads((folder / "run.json").read_text())
    assert (state["state"], state["resumed_from_step"]) == ("finished", 2)
    assert (folder / "report.html").is_file()
    assert main(["report", f"{runs}/quickstart"]) == 0
    assert "Report in the bucket" in capsys.readouterr().out
    for place in (folder, first, second):  # the key of the bucket is in no file
        for file in place.rglob("*"):
            assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_sft_in_a_bucket_goes_on_on_another_machine(bucket, tmp_path):
    runs = bucket.new_folder()
    options = ["sft.samples_per_step=8", "data.num_train=64", "eval.num_prompts=8", "tracking.wandb=disabled"]
    options += ["run.name=sft", f"run.dir={runs}", "checkpoint.every_steps=2", "learner.num_ranks=1"]
    for steps, machine in ((2, "machine-1"), (4, "machine-2")):
        command = [
            sys.executable,
            "-m",
            "vlaa_ray",
            "sft",
            "--config",
            str(ROOT / "configs/tiny_base_sft.yaml"),
            *options,
        ]
        command += [f"run.num_steps={steps}", f"run.local_dir={tmp_path / machine}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = fetch_run(f"{runs}/sft")
    assert [row["step"] for row in read_metrics(folder) if row["step"]] == [1, 2, 3, 4]
    assert json.loads((folder / "run.json").read_text())["resumed_from_step"] == 2
    finished = [item for item in list_remote(BucketPath.parse(runs) / "sft/checkpoints") if item.is_finished]
    assert (finished[-1].step, finished[-1].attempt) == (4, 2)
