"""The command line: quick help, one clean message an error, the right exit code, and only our own actors."""

import contextlib
import errno
import importlib.machinery
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import yaml

from vlaa_ray.cli import common, main
from vlaa_ray.errors import CheckpointError, LearnerError, RunInterrupted

ROOT = Path(__file__).parents[2]
CONFIG_3B = str(ROOT / "configs" / "vlaa_thinker_3b.yaml")
COMMANDS = [
    "train",
    "sft",
    "reward-model",
    "data check",
    "data show",
    "config",
    "report",
    "score",
    "probe",
    "doctor",
    "submit",
    "ask",
    "export",
]


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "trial.yaml"
    file.write_text(f"run: {{name: trial, num_steps: 5, dir: {tmp_path / 'runs'}}}\nmodel: {{path: m}}\n")
    return str(file)


@pytest.fixture
def calls(monkeypatch) -> list:
    """Replaces what the commands hand over to; collects what they were given."""
    given: list = []

    def module(name: str, **functions: object) -> None:
        made = types.ModuleType(name)
        vars(made).update(functions)
        monkeypatch.setitem(sys.modules, name, made)

    async def run_grpo(*args: object) -> None:
        given.append(("train", *args))

    module("actors.drivers.grpo", run_grpo=run_grpo)
    module("actors.drivers.supervised", run_supervised=lambda *args: given.append((args[0].command, *args)))
    module("actors.drivers.submit", submit=lambda *args: given.append(("submit", *args)) or 5)
    module(
        "vlaa_ray.report",
        write_report=lambda folder, sought: given.append(("report", folder)) or folder / "report.html",
        final_table=lambda folder: "a table",
    )
    return given


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom vlaa_ray.cli import main\n"
        "codes = [main([*command, '--help']) for command in COMMANDS]\n"
        "assert codes == [0] * len(COMMANDS), codes\n"
        "heavy = {'torch', 'ray', 'vllm', 'transformers', 'matplotlib', 'deepspeed', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    ).replace("COMMANDS", repr([[], *map(str.split, COMMANDS)]))
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    fastest = min(timed_help(command) for command in COMMANDS)
    assert fastest < 1.0  # the quickest of them, as other work may share the machine


def timed_help(command: str) -> float:
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "vlaa_ray", *command.split(), "--help"], capture_output=True, timeout=60, check=True
    )
    return time.monotonic() - start


def test_train_hands_over_and_shows_the_result(config: str, calls: list, capsys, tmp_path: Path) -> None:
    assert main(["train", "--config", config, "run.seed=3", "--resume", "never", "rollout.group_size=4"]) == 0
    (_, loaded, resume), (_, folder) = calls
    assert (loaded.run.seed, loaded.rollout.group_size, resume) == (3, 4, "never")
    assert folder == tmp_path / "runs" / "trial"
    shown = capsys.readouterr().out
    assert "a table" in shown and "trial/report.html" in shown


def test_sft_loads_its_own_kind_of_config(config: str, calls: list) -> None:
    assert main(["sft", "--config", config, "sft.samples_per_step=9"]) == 0
    _, loaded, resume = calls[0]
    assert (loaded.sft.samples_per_step, resume) == (9, "auto")


def test_submit_passes_the_command_on_and_ends_with_its_code(calls: list) -> None:
    line = ["submit", "--address", "http://head:8265", "--no-wait", "--", "train", "--config", "c.yaml", "run.seed=1"]
    assert main(line) == 5
    assert calls == [
        ("submit", "http://head:8265", ["train", "--config", "c.yaml", "run.seed=1"], Path("."), False, [], "")
    ]
    assert main(["submit", "--", "rm", "-rf"]) == 2
    assert main(["submit", "--working-dir", str(ROOT), "--", "doctor"]) == 5
    assert calls[-1] == ("submit", None, ["doctor"], ROOT, True, [], "")
    assert main(["submit", "--working-dir", str(ROOT / "no-folder"), "--", "doctor"]) == 2


@pytest.mark.parametrize(
    ("folder", "run"), [("s3://bucket/runs", "s3://bucket/runs/trial"), ("out", "{cwd}/out/trial")]
)
def test_submit_tells_which_run_the_job_is_for(config: str, calls: list, tmp_path: Path, folder: str, run: str) -> None:
    line = ["submit", "--working-dir", str(tmp_path), "--secret", "HF_TOKEN", "--", "train", "--config", config]
    assert main([*line, f"run.dir={folder}"]) == 5
    *_, secrets, told = calls[-1]
    assert (list(map(str, secrets)), told) == (["HF_TOKEN"], run.format(cwd=tmp_path.resolve()))


def test_config_prints_what_reloads(config: str, capsys, tmp_path: Path) -> None:
    assert main(["config", config, "grpo.preset=paper"]) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["grpo"]["kl"] == {"coefficient": 1e-3, "target": 5e-4, "horizon": 10_000.0, "estimator": "k3"}
    (tmp_path / "sft.yaml").write_text("run: {name: x, num_steps: 1}\nmodel: {path: m}\nsft: {}\n")
    assert main(["config", str(tmp_path / "sft.yaml")]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["sft"]["samples_per_step"] == 64


def test_a_dry_run_needs_no_gpu_and_says_what_would_run(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["train", "--config", CONFIG_3B, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for part in ("Placement", "optimizer states", "100,352", "5e-07 at update 392", "3,754,622,976 parameters"):
        assert part in shown
    assert not (tmp_path / "runs").exists()  # nothing is written
    assert main(["train", "--config", CONFIG_3B, "--dry-run", "learner.gradient_checkpointing=false"]) == 1
    captured = capsys.readouterr()
    assert "PlacementError: the run would not fit" in captured.err and "Placement" in captured.out


def test_a_dry_run_of_supervised_training_says_its_work(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    config = str(Path(__file__).parents[2] / "configs/tiny_base_sft.yaml")
    here = f"run.dir={tmp_path}"
    assert main(["sft", "--config", config, "--dry-run", here]) == 0
    shown = capsys.readouterr().out
    for part in ("2,800 of 64 samples", "179,200", "optimizer states", "1,603,712 parameters"):
        assert part in shown
    epochs = ["run.num_steps=null", "run.num_epochs=2", "eval.rewards=true"]
    assert main(["sft", "--config", config, "--dry-run", here, *epochs]) == 0
    shown = capsys.readouterr().out
    assert "as many as 2 passes over the data take, of 64 samples" in shown and "rollout" in shown
    assert main(["sft", "--config", config, "--dry-run", here, "data.train=builtin:x"]) == 2
    assert "no built-in split 'x'" in capsys.readouterr().err
    pairs = str(Path(__file__).parents[2] / "configs/tiny_reward_model.yaml")
    assert main(["reward-model", "--config", pairs, "--dry-run", here]) == 0
    assert not any(tmp_path.iterdir())


def test_a_dry_run_names_a_verifier_that_is_not_there(capsys) -> None:
    quickstart = str(Path(__file__).parents[2] / "configs/quickstart.yaml")
    override = "rewards.verifiers.chart.function=nowhere_at_all:f"
    assert main(["train", "--config", quickstart, "--dry-run", override]) == 2
    assert "rewards.verifiers.chart: nowhere_at_all is neither on the Python path" in capsys.readouterr().err


def test_config_problems_are_one_message_and_code_two(config: str, capsys) -> None:
    assert main(["train", "--config", config, "run.num_step=3", "rollout.group_size=[bold]"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ConfigError: 2 problem(s)") and captured.out == ""
    assert "did you mean 'run.num_steps'?" in captured.err and "Traceback" not in captured.err
    assert "[bold]" in captured.err or "'bold'" in captured.err  # text of users is no markup
    assert main(["train", "--config", "/no/such/file"]) == 2
    assert "Fix: give the path of a YAML file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error, code, says",
    [
        (
            LearnerError("rank 1 died", rank=1, fix="see its log"),
            1,
            "LearnerError: rank 1 died\nrank=1\nFix: see its log\n",
        ),
        (CheckpointError("[/red] missing"), 1, "CheckpointError: [/red] missing\n"),
        (RunInterrupted("stopped", signal=int(signal.SIGTERM)), 143, "RunInterrupted: stopped\nsignal=15\n"),
    ],
)
def test_a_typed_error_ends_with_its_message_and_code(config, calls, monkeypatch, capsys, error, code, says) -> None:
    async def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["actors.drivers.grpo"], "run_grpo", fails)
    assert main(["train", "--config", config]) == code
    assert capsys.readouterr().err == says


def test_an_unexpected_error_leaves_its_traceback(config, calls, monkeypatch, capsys, caplog) -> None:
    async def fails(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(sys.modules["actors.drivers.grpo"], "run_grpo", fails)
    assert main(["train", "--config", config]) == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
    assert caplog.records[-1].exc_info[0] is ZeroDivisionError and "in fails" in caplog.text


def test_ctrl_c_is_130(config, calls, monkeypatch) -> None:
    async def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["actors.drivers.grpo"], "run_grpo", stopped)
    assert main(["train", "--config", config]) == 130


@pytest.mark.parametrize("line", [["train"], ["nonsense"], ["train", "--config"], ["train", "--nonsense"]])
def test_a_wrong_command_line_is_code_two(line: list[str], capsys) -> None:
    assert main(line) == 2
    assert "Error: " in capsys.readouterr().err


def test_a_foreign_package_called_actors_is_refused(config, calls, monkeypatch, capsys, tmp_path: Path) -> None:
    foreign = importlib.machinery.ModuleSpec("actors", None, origin=str(tmp_path / "actors" / "__init__.py"))
    for spec in (foreign, None, importlib.machinery.ModuleSpec("actors", None)):
        monkeypatch.setattr(common.importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert main(["train", "--config", config]) == 2
        assert "another package called 'actors' would be imported" in capsys.readouterr().err
    assert calls == []


def test_report_wants_a_run_folder(calls: list, capsys, tmp_path: Path) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err
    (tmp_path / "config.yaml").touch()
    assert main(["report", str(tmp_path)]) == 0
    assert calls == [("report", tmp_path)]


def test_doctor_ends_with_two_if_something_is_broken(monkeypatch, capsys, config: str) -> None:
    from vlaa_ray.planning import doctor

    seen = []
    finding = doctor.Finding("ninja", False, "not found", "on PATH", "pip install ninja")
    monkeypatch.setattr(doctor, "diagnose", lambda config: seen.append(config) or [finding])
    assert main(["doctor", "--config", config]) == 2
    assert seen[0].run.name == "trial" and "pip install ninja" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "diagnose", lambda config: [doctor.Finding("ninja", True, "here")])
    assert main(["doctor"]) == 0


def run_cli(*args: str, stdout: int | str, **environment: str) -> tuple[int, str]:
    """Return the exit code and stderr of a command in a process of its own, its stdout sent to a file."""
    with open(stdout, "wb") if isinstance(stdout, str) else contextlib.nullcontext(stdout) as out:
        done = subprocess.run(
            [sys.executable, "-m", "vlaa_ray", *args],
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
            timeout=60,
        )
    return done.returncode, done.stderr.decode()


def test_an_output_that_takes_nothing_is_one_error(config: str) -> None:
    code, said = run_cli("config", config, stdout="/dev/full")
    assert code == 1 and "can't write the output: No space left on device" in said and "Traceback" not in said
    assert run_cli("config", config, stdout="/dev/null") == (0, "")


def test_a_terminal_of_ascii_gets_replaced_characters(config: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert run_cli("config", config, stdout=out, PYTHONIOENCODING="ascii") == (0, "")  # 🤔 is in the system prompt
    assert run_cli("report", str(tmp_path), stdout=out, PYTHONIOENCODING="ascii")[0] == 2
    code, said = run_cli("config", "nösuch", stdout=out, PYTHONIOENCODING="ascii")
    assert code == 2 and "n\\xf6such" in said and "Traceback" not in said


def test_a_file_that_cannot_be_used_is_named_without_a_traceback(config, calls, monkeypatch, capsys, caplog) -> None:
    async def fails(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/some/file")

    monkeypatch.setattr(sys.modules["actors.drivers.grpo"], "run_grpo", fails)
    assert main(["train", "--config", config]) == 1
    said = capsys.readouterr().err
    assert "can't use a file: Permission denied" in said and "path='/some/file'" in said
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        ["score", "FILE", "--out", "FILE"],
        ["data", "show", "FILE", "--out", "FILE"],
        ["data", "check", "FILE", "--report", "FILE"],
        ["data", "check", "FILE", "--report", "OTHER", "--quarantine", "OTHER"],
    ],
)
def test_an_output_never_overwrites_another_file_of_the_command(line, capsys, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text("{}\n")
    names = {"FILE": str(file), "OTHER": str(tmp_path / "other")}
    assert main([names.get(word, word) for word in line]) == 2
    assert "is another file of this command, too" in capsys.readouterr().err
    assert file.read_text() == "{}\n"


def test_the_home_folder_is_found_in_options(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert common.ready_to_write(Path("~/reports/a.json"), "--report") == tmp_path / "reports/a.json"
