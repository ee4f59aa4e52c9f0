"""Jobs run as processes of their own, side by side where there is room; a failure and a signal are handled."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments import SCORES, experiment, planned, write_evaluation, write_grpo

from actors.drivers import experiments as driver
from vlaa_ray.config import dump_config
from vlaa_ray.errors import ExperimentError
from vlaa_ray.experiments.jobs import Job
from vlaa_ray.experiments.order import Room

RUN = """
import json, pathlib, signal, sys, time
folder, seconds, fails = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "fails"
folder.mkdir(parents=True, exist_ok=True)
def stop(*_):
    (folder / "stopped").write_text("")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
with (folder.parents[1] / "order.txt").open("a") as file: file.write(f"start {folder.name}\\n")
time.sleep(seconds)
with (folder.parents[1] / "order.txt").open("a") as file: file.write(f"end {folder.name}\\n")
if fails:
    error = {"type": "LearnerError", "message": "died"}
    (folder / "run.json").write_text(json.dumps({"state": "failed", "error": error}))
    sys.exit(1)
(folder / "run.json").write_text(json.dumps({"state": "finished", "step": 9}))
"""


@pytest.fixture
def fake(monkeypatch):
    """Replaces the runs by small scripts: `fake(seconds, failing)`; files of finished runs are made beforehand."""

    def prepare(plan, seconds=0.0, failing=()):
        for job in plan.jobs.values():
            job.folder.mkdir(parents=True, exist_ok=True)
            if job.grpo and not (job.folder / "metrics.jsonl").is_file():
                write_grpo(job.folder, 3, 0)
        for name, arm in plan.arms.items():
            for seed, key in arm.evaluations.items():
                if not (plan.jobs[key].folder / "result.json").is_file():
                    write_evaluation(plan.jobs[key].folder, SCORES[name][seed], 5)
                    (plan.jobs[key].folder / "run.json").unlink()

        def command(job, config_file):
            assert config_file.is_file()
            return [str(job.folder), str(seconds), "fails" if job.name in failing else "works"]

        monkeypatch.setattr(Job, "command", command)
        monkeypatch.setattr(driver, "start_reaper", lambda: None)
        monkeypatch.setattr(driver, "_MODULE", ["-c", RUN])
        monkeypatch.setattr(driver, "_POLL_S", 0.1)
        return plan

    return prepare


def order(plan):
    return (plan.folder / "order.txt").read_text().splitlines()


def test_all_jobs_run_after_those_that_they_need_and_are_not_run_again(tmp_path, fake):
    plan = fake(planned(tmp_path, seeds=[0]))
    folder = driver.run_experiment(plan)
    lines = order(plan)
    assert len(lines) == 2 * len(plan.jobs)
    for key, job in plan.jobs.items():
        for need in job.needs:
            end, start = f"end {plan.jobs[need].folder.name}", f"start {job.folder.name}"
            assert lines.index(end) < len(lines) - 1 - lines[::-1].index(start), key
    result = json.loads((folder / "result.json").read_text())
    assert result["state"] == "complete" and (folder / "page.html").is_file()
    assert json.loads((folder / "run.json").read_text())["state"] == "finished"
    driver.run_experiment(plan)
    assert order(plan) == lines


def test_a_failing_run_stops_its_own_arms_only_and_is_tried_again(tmp_path, fake):
    plan = fake(planned(tmp_path, seeds=[0]), failing=("sft-s0",))
    with pytest.raises(ExperimentError) as caught:
        driver.run_experiment(plan)
    assert "2 of 4 arms" in caught.value.message and "LearnerError: died" in caught.value.message
    result = json.loads((plan.folder / "result.json").read_text())
    states = {name: arm["state"] for name, arm in result["arms"].items()}
    assert states == {"base": "complete", "sft": "failed", "grpo": "complete", "sft-grpo": "failed"}
    before = order(plan)
    assert not any("sft.grpo" in line for line in before)
    driver.run_experiment(fake(plan))  # the failure is mended
    new = order(plan)[len(before) :]
    assert not any("start grpo-s0" in line for line in new) and sum("start sft-s0" in line for line in new) == 2


def test_a_broken_arm_does_not_stop_the_others(tmp_path, fake):
    arms = {"base": {}, "sft": {"stages": ["sft"]}, "typo": {"stages": ["nothing"]}}
    plan = fake(planned(tmp_path, arms=arms, seeds=[0]))
    with pytest.raises(ExperimentError, match="typo: stage 1: no stage 'nothing'"):
        driver.run_experiment(plan)
    result = json.loads((plan.folder / "result.json").read_text())
    assert [arm["state"] for arm in result["arms"].values()] == ["complete", "complete", "broken"]


def test_runs_are_side_by_side_where_there_is_room(tmp_path, fake):
    config = experiment(tmp_path, arms={"sft": {"stages": ["sft"]}}, room={"cpus": 2, "gpus": 0})
    (tmp_path / "c.yaml").write_text(dump_config(config))
    plan = fake(planned(tmp_path, arms={"sft": {"stages": ["sft"]}}, room={"cpus": 2, "gpus": 0}), seconds=0.5)
    driver.run_experiment(plan)
    assert [line.split()[0] for line in order(plan)[:2]] == ["start", "start"]


def test_the_gpus_of_a_machine_are_divided_between_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    stages = {
        "sft": {"config": str(tmp_path / "sft.yaml"), "set": {"learner.gpus_per_rank": 1, "learner.num_ranks": 2}},
    }
    plan = planned(tmp_path, stages=stages, arms={"sft": {"stages": ["sft"]}})
    runner = driver._Runner(plan, None, None, Room(cpus=64, gpus=4, runs=8))
    first, second = (plan.jobs[plan.arms["sft"].stages[seed][0]] for seed in (0, 1))
    assert runner._devices(first) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert runner._devices(second) == {"CUDA_VISIBLE_DEVICES": "2,3"}


def test_a_signal_is_passed_on_and_the_same_command_continues(tmp_path):
    script = tmp_path / "start.py"
    here = Path(__file__)
    script.write_text(
        f"import sys; sys.path[:0] = [{str(here.parents[2] / 'support')!r}]\n"
        f"from experiments import planned\nfrom pathlib import Path\nfrom actors.drivers import experiments as driver\n"
        f"from vlaa_ray.experiments.jobs import Job\n"
        f"from vlaa_ray.errors import VlaaRayError\n"
        f"Job.command = lambda job, file: [str(job.folder), '60', 'works']\n"
        f"driver.start_reaper = lambda: None\ndriver._MODULE = ['-c', {RUN!r}]\n"
        f"plan = planned(Path({str(tmp_path)!r}), seeds=[0], arms={{'sft': {{'stages': ['sft']}}}})\n"
        f"try: driver.run_experiment(plan)\n"
        f"except VlaaRayError as error: sys.exit(error.exit_code)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=here.parents[3], env=os.environ, start_new_session=True
    )
    started = tmp_path / "runs/experiment/order.txt"
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert list((tmp_path / "runs/experiment/stages").glob("sft-s0-*/stopped"))
    assert json.loads((tmp_path / "runs/experiment/run.json").read_text())["state"] == "interrupted"
