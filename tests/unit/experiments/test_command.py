"""The command `compare` and what it prints."""

import io

import yaml
from experiments import ARMS, SCORES, experiment, finish, planned
from rich.console import Console

from vlaa_ray.cli import main
from vlaa_ray.config import dump_config
from vlaa_ray.experiments.terminal import ExperimentProgress


def written(tmp_path, **changes):
    file = tmp_path / "compare.yaml"
    file.write_text(dump_config(experiment(tmp_path, **changes)))
    return file


def test_a_dry_run_shows_arms_runs_and_their_work_and_starts_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["compare", "--config", str(written(tmp_path)), "--dry-run"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "grpo grpo 0, 1 12 48 ≤ 1,536" in lines
    assert "sft-grpo sft → grpo 0, 1 12 48 ≤ 1,536" in lines
    assert "sft-s0 sft to do 8 ≤ 512 sft, sft-grpo" in lines
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_says_what_is_finished(tmp_path, capsys):
    finish(planned(tmp_path), SCORES)
    assert main(["compare", "--config", str(written(tmp_path)), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "finished" in printed and "to do" not in printed


def test_a_dry_run_names_broken_arms_and_ends_with_2(tmp_path, capsys):
    file = written(tmp_path, arms={**ARMS, "typo": {"stages": ["nothing"]}})
    assert main(["compare", "--config", str(file), "--dry-run"]) == 2
    printed = capsys.readouterr()
    assert "1 of 5 arms can't be run" in printed.err and "typo: stage 1: no stage 'nothing'" in printed.err
    assert main(["compare", "--config", str(file), "--dry-run", "--only", "grpo"]) == 0


def test_a_config_of_another_command_is_refused(tmp_path, capsys):
    (tmp_path / "grpo.yaml").write_text(yaml.safe_dump({"run": {"name": "a", "num_steps": 1}, "grpo": {}}))
    assert main(["compare", "--config", str(tmp_path / "grpo.yaml"), "--dry-run"]) == 2
    assert "vlaa-ray train" in capsys.readouterr().err


def test_keys_of_a_stage_can_be_changed_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    change = "stages.grpo.set.run.num_steps=6"
    assert main(["compare", "--config", str(written(tmp_path)), "--dry-run", change, "--only", "grpo"]) == 0
    assert "grpo grpo 0, 1 24 96 ≤ 3,072" in " ".join(capsys.readouterr().out.split())


def test_without_a_terminal_the_progress_is_a_line_every_half_minute():
    now, out = [0.0], io.StringIO()
    with ExperimentProgress(Console(file=out, width=200), clock=lambda: now[0]) as progress:
        for now[0], left in ((1.0, None), (31.0, 600.0), (32.0, 599.0), (62.0, None)):
            progress.update(3, 10, ["grpo-s0"], left)
    assert out.getvalue().splitlines() == [
        "3/10 runs done · running: grpo-s0 · about 10 min 00 s left",
        "3/10 runs done · running: grpo-s0 · time left not known yet",
    ]
