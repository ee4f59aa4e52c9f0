"""`vlaa-ray status`: what a run's folder tells about it, here and in a bucket."""

import json
import threading
import time

import pytest
from bucket_runs import config_of, save

from vlaa_ray.cli import inspect, main
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import LearnerError, VlaaRayError
from vlaa_ray.report.status import lines, sparkline, status_of
from vlaa_ray.run.session import open_run

STEP = {"reward/mean": 0.5, "reward/iou/mean": 0.25, "time/step_s": 2.0, "throughput/samples_per_s": 64.0}


def local_config(folder) -> GrpoConfig:
    config = config_of(str(folder), folder)
    return config.model_copy(update={"run": config.run.model_copy(update={"num_steps": 10})})


def test_a_running_run_and_the_same_run_after_its_end(tmp_path):
    with open_run(local_config(tmp_path)) as run:
        save(run, 1, 1000)
        run.log(2, STEP)
        seen = {
            "rollout/restarts": 1.0,
            "rollout/replicas": 2.0,
            "time/rollout_s": 1.5,
            "memory/rollout_rss_bytes": 2**31,
        }
        run.log(3, {**STEP, "reward/mean": 0.6, "eval/reward/mean": 0.75, **seen})
        status = status_of(str(run.path))
        assert (status.state, status.step, status.num_steps, status.step_s) == ("running", 3, 10, 2.0)
        assert status.rewards == {"reward": 0.6, "held-out": 0.75, "  iou": 0.25}
        assert status.checkpoint[0] == 1 and 0 <= status.checkpoint[1] < 60 and status.life_s < 60
        text = "\n".join(lines(status))
        assert "trial: running, step 3 of 10" in text and "2.0 s a step, 64 samples/s, about 14 s left" in text
        assert "  reward        0.600  " in text and "█\n" in text
        assert "  rollout       2 actors, 1.5 s of the last step, 1 replaced, 2.0 GiB\n" in text
        assert "  learner       1 actor\n" in text
    assert status_of(str(run.path)).state == "finished"


def test_a_run_that_was_killed_is_not_called_running(tmp_path):
    with pytest.raises(LearnerError), open_run(local_config(tmp_path)) as run:
        raise LearnerError("rank 1 died")
    assert status_of(str(run.path)).error["type"] == "LearnerError"
    assert "LearnerError: rank 1 died" in "\n".join(lines(status_of(str(run.path))))
    state = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(state | {"state": "running", "error": None}))
    assert status_of(str(run.path)).state == "killed"


def test_a_run_in_a_bucket_is_seen_from_another_machine(bucket, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VLAA_RAY_CACHE", str(tmp_path / "cache"))
    config = config_of(bucket.new_folder(), tmp_path / "a")
    address = f"{config.run.dir}/trial"
    with open_run(config) as run:
        save(run, 1, 1000)
        run.log(2, STEP)
        run._folder.remote._mirror.settle(30)
        status = status_of(address)
        assert (status.state, status.step, status.checkpoint[0]) == ("running", 2, 1)
        assert status.behind_s is not None and status.life_s < 60
    assert main(["status", address]) == 0
    assert "trial: finished, step 2 of 1000" in capsys.readouterr().out
    with pytest.raises(VlaaRayError, match="no such run folder"):
        status_of(f"{config.run.dir}/other")


def test_the_command_finds_a_run_by_its_name_and_names_those_that_are_there(tmp_path, capsys):
    with open_run(local_config(tmp_path)) as run:
        run.log(1, STEP)
    for arguments in (["trial"], [], [str(run.path)]):
        assert main(["status", *arguments, "--runs", str(tmp_path)]) == 0
        assert "trial: finished, step 1 of 10" in capsys.readouterr().out
    assert main(["status", "trail", "--runs", str(tmp_path)]) == 2
    assert "trial" in capsys.readouterr().err


def test_a_sparkline_has_the_lowest_and_the_highest_value_at_its_ends():
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█" and sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([0.0, 1.0] * 40 + [3.0, 3.0], width=41) == "▁" * 40 + "█"
    assert sparkline([1.0, float("nan"), 2.0]) == "▁ █"


def test_watching_a_run_that_is_over_shows_it_once(tmp_path, capsys):
    with open_run(local_config(tmp_path)) as run:
        run.log(1, STEP)
    assert main(["status", "trial", "--runs", str(tmp_path), "--watch"]) == 0
    assert capsys.readouterr().out.count("trial: finished") == 1


def test_a_report_that_follows_a_run_is_written_until_its_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inspect, "_FOLLOW_S", 0.05)
    with open_run(local_config(tmp_path)) as run:
        run.log(1, STEP)
        following = threading.Thread(target=main, args=(["report", str(run.path), "--follow"],))
        following.start()
        page = run.path / "report.html"
        deadline = time.monotonic() + 60
        while not page.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "running" in page.read_text()
        run.log(2, STEP)
    following.join(60)
    assert not following.is_alive() and "finished" in page.read_text()
    told = capsys.readouterr().out
    assert "step 1: " in told and "Report: " in told
