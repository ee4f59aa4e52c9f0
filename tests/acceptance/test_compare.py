"""A small experiment, undisturbed and killed twice (within SFT, within GRPO): the same numbers, nothing done twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3600)]
ROOT = Path(__file__).parents[2]
HELDOUT = '[{name: heldout, data: "builtin:heldout", records: true, num_rows: 40}]'
SMALL = [
    "seeds=[0]",
    "stages.sft-small.set.run.num_steps=20",
    "stages.sft-small.set.checkpoint.every_steps=4",
    "stages.grpo.set.run.num_steps=4",
    "stages.grpo.set.rollout.prompts_per_step=8",
    "stages.grpo.set.rollout.group_size=4",
    "stages.grpo.set.checkpoint.every_steps=1",
    "stages.grpo.set.eval.num_prompts=10",
    f"evaluation.set.benchmarks={HELDOUT}",
]
ARMS = ["--only", "sft-small", "--only", "grpo", "--only", "sft-grpo"]


def start(folder, output):
    command = [sys.executable, "-m", "vlaa_ray", "compare", "--config", "configs/compare_quickstart.yaml", *ARMS]
    return subprocess.Popen(
        [*command, f"run.dir={folder}", *SMALL], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=os.environ
    )


def run(folder):
    with (folder / "output.txt").open("a") as output:
        process = start(folder, output)
        assert process.wait(3000) == 0, (folder / "output.txt").read_text()[-3000:]
    return json.loads((folder / "compare-quickstart/result.json").read_text())


def steps_in(folder, pattern):
    """The number of steps that the run whose folder matches the pattern has done."""
    files = list((folder / "compare-quickstart/stages").glob(f"{pattern}/metrics.jsonl"))
    return len(files[0].read_text().splitlines()) if files else 0


def kill_when(folder, reached, sent):
    """Start the experiment, send it a signal when `reached()`, and wait until it has ended."""
    with (folder / "output.txt").open("a") as output:
        process = start(folder, output)
        deadline = time.monotonic() + 1500
        while not reached():
            assert process.poll() is None, (folder / "output.txt").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(sent)
        assert process.wait(300) != 0


def finished(folder):
    """When the finished runs ended, by their folders."""
    ended = {}
    for file in (folder / "compare-quickstart").glob("*/*/run.json"):
        with contextlib.suppress(ValueError):
            state = json.loads(file.read_text())
            if state["state"] == "finished":
                ended[file.parent.name] = state["ended"]
    return ended


def numbers(result):
    return {name: (arm["scores"], arm["curves"], arm["answers"]) for name, arm in result["arms"].items()}


def test_a_killed_experiment_ends_with_the_numbers_of_an_undisturbed_one(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    alone.mkdir()
    killed.mkdir()
    expected = run(alone)
    assert expected["state"] == "complete"
    kill_when(killed, lambda: 5 <= steps_in(killed, "sft-small-s0-*") < 20, signal.SIGKILL)
    kill_when(killed, lambda: steps_in(killed, "sft-small.grpo-s0-*") >= 2, signal.SIGTERM)
    before = finished(killed)
    result = run(killed)
    assert before and all(finished(killed)[name] == ended for name, ended in before.items())
    assert numbers(result) == numbers(expected)
    assert finished(alone).keys() == finished(killed).keys()
    page = (killed / "compare-quickstart/page.html").read_text()
    assert all(line in page for line in ("sft-grpo", "What the intervals allow one to say"))
