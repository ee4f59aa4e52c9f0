"""The run folder: who may write it, where a run continues, and what run.json says after any ending."""

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlaa_ray.config import GrpoConfig, SftConfig, load_config
from vlaa_ray.errors import CheckpointError, ConfigError, LearnerError, RunInterrupted
from vlaa_ray.run import run_json
from vlaa_ray.run.checkpoints import CheckpointStore
from vlaa_ray.run.folder import RunFolder, config_changes
from vlaa_ray.run.run_json import read_run

HOLDS_THE_FOLDER = """
import sys, time
from vlaa_ray.config import load_config
from vlaa_ray.run.folder import RunFolder

RunFolder.open(load_config(sys.argv[1])).record(step=4)
print("ready", flush=True)
time.sleep(60)
"""


def make(tmp_path: Path, **sections: dict) -> GrpoConfig:
    run = {"name": "trial", "num_steps": 50, "dir": str(tmp_path)} | sections.pop("run", {})
    return GrpoConfig.model_validate({"run": run, "model": {"path": "m"}, **sections})


def save(folder: RunFolder, step: int) -> Path:
    (folder.checkpoints.begin(step) / "weights").write_bytes(b"abc")
    return folder.checkpoints.commit(step, {"position": step})


def killed(config: GrpoConfig, *steps: int) -> list[Path]:
    """A run that saved at `steps` and was then killed: its lock is gone, its state still says running."""
    folder = RunFolder.open(config)
    paths = [save(folder, step) for step in steps]
    folder._unlock()
    return paths


def test_a_new_run_writes_what_it_is(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vlaa-ray", "train", "--config", "x y.yaml"])
    config = make(tmp_path)
    folder = RunFolder.open(config)
    assert folder.path == tmp_path / "trial" and folder.log_dir.is_dir()
    assert folder.resume_from is None and not folder.finished
    assert load_config(folder.path / "config.yaml") == config
    run = read_run(folder.path)
    assert run["state"] == "running" and run["step"] == 0 and run["error"] is None and run["ended"] is None
    assert run["command"] == "vlaa-ray train --config 'x y.yaml'" and run["pid"] == os.getpid()
    assert run["versions"]["torch"].startswith("2.") and run["versions"]["vlaa-ray"] == "0.1.0"


def test_auto_continues_from_the_newest_that_verifies(tmp_path: Path, caplog) -> None:
    _, newest = killed(make(tmp_path), 10, 20)
    (newest / "weights").write_bytes(b"abd")
    folder = RunFolder.open(make(tmp_path), "auto")
    assert folder.resume_from.step == 10 and folder.resume_from.state == {"position": 10}
    assert "weights has another sha256" in caplog.text
    assert (read_run(folder.path)["step"], read_run(folder.path)["resumed_from_step"]) == (10, 10)


def test_auto_does_not_start_over_beside_broken_checkpoints(tmp_path: Path) -> None:
    (only,) = killed(make(tmp_path), 10)
    (only / "weights").unlink()
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints is sound"):
        RunFolder.open(make(tmp_path), "auto")


def test_auto_starts_over_where_nothing_was_saved(tmp_path: Path) -> None:
    killed(make(tmp_path))
    assert RunFolder.open(make(tmp_path), "auto").resume_from is None


def test_a_finished_run_has_nothing_left(tmp_path: Path) -> None:
    folder = RunFolder.open(make(tmp_path))
    save(folder, 50)
    folder.record(step=50)
    folder.finish()
    before = (folder.path / "run.json").read_bytes()
    again = RunFolder.open(make(tmp_path), "auto")
    assert again.finished
    again.fail(LearnerError("too late"))
    assert (folder.path / "run.json").read_bytes() == before  # looking at a finished run changes nothing
    more = RunFolder.open(make(tmp_path, run={"num_steps": 60}), "auto")
    assert not more.finished and more.resume_from.step == 50


def test_a_run_killed_after_its_last_checkpoint_is_not_finished(tmp_path: Path) -> None:
    killed(make(tmp_path), 50)
    folder = RunFolder.open(make(tmp_path), "auto")
    assert not folder.finished and folder.resume_from.step == 50  # the last evaluation may be missing


def test_never_refuses_a_folder_with_a_run(tmp_path: Path) -> None:
    killed(make(tmp_path))  # nothing saved: nothing to lose
    RunFolder.open(make(tmp_path), "never")._unlock()
    killed(make(tmp_path), 10)
    with pytest.raises(CheckpointError, match="already holds a run") as caught:
        RunFolder.open(make(tmp_path), "never")
    assert "run.name" in caught.value.fix and "--resume auto" in caught.value.fix


def test_a_path_continues_from_another_run(tmp_path: Path) -> None:
    first, second = killed(make(tmp_path), 10, 20)
    other = make(tmp_path, run={"name": "other"})
    folder = RunFolder.open(other, first)
    assert folder.resume_from.step == 10 and folder.checkpoints.paths() == []
    folder._unlock()
    assert RunFolder.open(other, str(first.parents[1])).resume_from.path == second  # a run's folder: its newest


def test_a_path_below_the_newest_is_refused(tmp_path: Path) -> None:
    first, second = killed(make(tmp_path), 10, 20)
    with pytest.raises(CheckpointError, match="next --resume auto would use") as caught:
        RunFolder.open(make(tmp_path), first)
    assert "step_000020" in caught.value.fix
    (second / "weights").unlink()  # a broken one is not in the way
    assert RunFolder.open(make(tmp_path), first).resume_from.step == 10


@pytest.mark.parametrize("name", [".", "missing"])
def test_a_path_to_something_else_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="neither a checkpoint nor a run folder"):
        RunFolder.open(make(tmp_path), tmp_path / name)
    assert not RunFolder.open(make(tmp_path)).finished  # the refusal gave the lock back


def test_a_second_process_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"run: {{name: trial, num_steps: 50, dir: {tmp_path}}}\nmodel: {{path: m}}\n")
    child = subprocess.Popen([sys.executable, "-c", HOLDS_THE_FOLDER, str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(ConfigError, match="another process uses this run folder") as caught:
            RunFolder.open(load_config(file))
        assert caught.value.facts["pid"] == child.pid and caught.value.fix
        assert read_run(tmp_path / "trial")["step"] == 4  # and its run.json is as it was
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    assert read_run(tmp_path / "trial")["state"] == "running"  # what a killed run leaves
    RunFolder.open(load_config(file))


@pytest.mark.parametrize(
    "error, state, stored",
    [
        (
            LearnerError("rank 1 died", rank=1, step=7, fix="see logs"),
            "failed",
            {"type": "LearnerError", "message": "rank 1 died", "fix": "see logs", "rank": 1, "step": 7},
        ),
        (ValueError("odd"), "failed", {"type": "ValueError", "message": "odd", "fix": ""}),
        (
            RunInterrupted("stopped", signal=15),
            "interrupted",
            {"type": "RunInterrupted", "message": "stopped", "fix": "", "signal": 15},
        ),
        (KeyboardInterrupt(), "interrupted", {"type": "KeyboardInterrupt", "message": "", "fix": ""}),
        (
            LearnerError("odd facts", path=Path("/x")),
            "failed",
            {"type": "LearnerError", "message": "odd facts", "fix": "", "path": "/x"},
        ),
    ],
)
def test_the_cause_is_kept(tmp_path: Path, error: BaseException, state: str, stored: dict) -> None:
    folder = RunFolder.open(make(tmp_path))
    folder.record(step=7)
    folder.fail(error)
    run = read_run(folder.path)
    assert (run["state"], run["step"], run["error"]) == (state, 7, stored) and run["ended"]
    folder.fail(ValueError("a later one"))
    assert read_run(folder.path)["error"] == stored  # the first cause stands
    RunFolder.open(make(tmp_path))  # the lock is free


def test_changes_of_what_is_trained_are_warned_of(tmp_path: Path, caplog) -> None:
    killed(make(tmp_path), 10)
    changed = make(
        tmp_path,
        run={"num_steps": 80, "seed": 3},
        rollout={"group_size": 4, "num_actors": 2, "max_num_seqs": 8},
        learner={"num_ranks": 2, "optim": {"learning_rate": 1e-5}},
        checkpoint={"every_steps": 5},
        eval={"num_prompts": 8},
    )
    folder = RunFolder.open(changed)
    assert folder.config_changes == {
        "run.seed": (0, 3),
        "rollout.group_size": (8, 4),
        "learner.optim.learning_rate": (1e-6, 1e-5),
    }
    assert "rollout.group_size: 8 -> 4" in caplog.text and "run.num_steps: 50 -> 80" in caplog.text
    assert "num_actors" not in caplog.text and "every_steps" not in caplog.text


def test_the_same_config_warns_of_nothing(tmp_path: Path, caplog) -> None:
    killed(make(tmp_path), 10)
    RunFolder.open(make(tmp_path))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_changes_are_against_the_config_of_the_checkpoint(tmp_path: Path) -> None:
    killed(make(tmp_path), 10)
    killed(make(tmp_path, run={"seed": 1}))  # an attempt that changed the seed, and died before it saved
    assert RunFolder.open(make(tmp_path)).config_changes == {}


def test_config_changes_without_a_stored_config_are_none(tmp_path: Path) -> None:
    assert config_changes(tmp_path / "config.yaml", make(tmp_path)) == {}


def test_a_folder_of_another_kind_of_run_is_refused(tmp_path: Path) -> None:
    killed(make(tmp_path))
    config = SftConfig.model_validate(
        {"run": {"name": "trial", "num_steps": 1, "dir": str(tmp_path)}, "model": {"path": "m"}}
    )
    with pytest.raises(ConfigError, match="already holds a run of vlaa-ray train"):
        RunFolder.open(config)


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch, caplog) -> None:
    folder = RunFolder.open(make(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_json, "write_whole", full)
        folder.record(step=3)
        assert "No space left" in caplog.text
    folder.record(step=4)
    assert read_run(folder.path)["step"] == 4


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't make the run folder"):
        RunFolder.open(make(tmp_path, run={"dir": str(tmp_path / "file")}))


def test_checkpoints_carry_the_config(tmp_path: Path) -> None:
    (path,) = killed(make(tmp_path), 10)
    assert load_config(path / "config.yaml") == make(tmp_path)
    assert CheckpointStore(path.parent, keep=1).latest().step == 10


def test_a_broken_run_json_reads_as_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"state": '):
        (tmp_path / "run.json").write_text(text)
        assert read_run(tmp_path) == {}
    (tmp_path / "run.json").write_text(json.dumps({"state": "failed"}))
    assert read_run(tmp_path) == {"state": "failed"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "{", "run.json can't be read"),
        ("run.json", "[]", "run.json doesn't hold a mapping"),
        ("run.json", '{"step": "x"}', "run.json doesn't hold a whole number as `step`"),
        ("run.json", "[" * 100_000, "run.json can't be read"),
        ("run.json", None, "run.json in the run folder must be a file"),
        (".lock", None, ".lock in the run folder must be a file"),
        ("metrics.jsonl", None, "metrics.jsonl in the run folder must be a file"),
        ("config.yaml", None, "config.yaml in the run folder must be a file"),
        ("logs", "", "logs in the run folder must be a folder"),
        ("checkpoints", "", "checkpoints in the run folder must be a folder"),
    ],
)
def test_junk_in_the_run_folder_is_one_error_with_its_path(tmp_path: Path, name, content, says) -> None:
    path = tmp_path / "trial" / name
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_text(content)
    for _ in range(2):  # the lock is free again
        with pytest.raises(ConfigError, match=re.escape(says)) as caught:
            RunFolder.open(make(tmp_path))
        assert str(path) in str(caught.value.facts) and "move" in caught.value.fix


def supervised(tmp_path, run, **sft):
    run = {"name": "trial", "dir": str(tmp_path), **run}
    return SftConfig.model_validate({"run": run, "model": {"path": "m"}, "sft": sft})


def finished_after(config, step, **facts):
    """Whether the same config has nothing left after a run that finished at a step."""
    folder = RunFolder.open(config)
    folder.record(step=step, **facts)
    folder.finish()


def test_a_run_of_epochs_has_nothing_left_after_the_steps_that_it_found_out(tmp_path: Path) -> None:
    config = supervised(tmp_path, {"num_epochs": 2})
    finished_after(config, 12, num_steps=12, num_epochs=2.0)
    assert RunFolder.open(config).finished
    assert not RunFolder.open(supervised(tmp_path, {"num_epochs": 3})).finished


def test_a_run_that_ended_early_has_nothing_left_while_its_settings_stay(tmp_path: Path) -> None:
    early = {"patience": 2, "min_delta": 0.5}
    config = supervised(tmp_path, {"num_steps": 50}, early_stopping=early)
    finished_after(config, 12, num_steps=50, num_epochs=None, stopped_early=early)
    assert RunFolder.open(config).finished
    more = supervised(tmp_path, {"num_steps": 50}, early_stopping={"patience": 3, "min_delta": 0.5})
    assert not RunFolder.open(more).finished


def test_a_run_that_failed_before_the_end_of_its_epochs_goes_on(tmp_path: Path) -> None:
    config = supervised(tmp_path, {"num_epochs": 2})
    folder = RunFolder.open(config)
    folder.record(step=12, num_steps=12, num_epochs=2.0)
    folder.fail(LearnerError("lost"))
    assert not RunFolder.open(config).finished
