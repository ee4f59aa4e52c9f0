"""A rank of the learner that is killed: the run goes on by itself, and its steps are those of an undisturbed run."""

import json
import time

import pytest
from box import run_script, why_not
from processes import command_of
from quickstart import metrics, run_json, running, train

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
OPTIONS = [
    "run.num_steps=9",
    "eval.num_prompts=8",
    "eval.every_steps=1000",
    "checkpoint.every_steps=3",
    "checkpoint.keep=3",
    "rewards.open_ended.scorer=words",
    "learner.num_ranks=2",
    "learner.micro_batch_tokens=256",  # so that the ranks begin with the first groups of a step
]
LONGER = [*OPTIONS[1:], "run.num_steps=20", "learner.min_ranks=1"]
NAMES = ("policy/loss", "policy/grad_norm", "reward/mean", "completion/mean_tokens")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = train(folder, *OPTIONS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def prompt_ids(folder, step):
    path = folder / f"quickstart/rollouts/step_{step:06d}.jsonl"
    return [json.loads(line)["prompt_id"] for line in path.read_text().splitlines()]


def kill_during(call, rank):
    """Kill a rank as soon as it is in this call, which Ray shows in the title of its process."""
    deadline = time.monotonic() + 60
    while f"LearnerActor.{call}" not in command_of(rank):
        assert time.monotonic() < deadline, f"the rank was never seen in {call}: {command_of(rank)}"
    rank.kill()


@pytest.mark.parametrize(("call", "number"), [("accumulate", 0), ("accumulate", 1), ("update", 1), ("next_bucket", 0)])
def test_a_rank_killed_in_any_call_costs_time_alone(whole, tmp_path, call, number):
    """In forward and backward, in the optimizer step, and while weights are sent."""
    with running(tmp_path, *OPTIONS) as run:
        run.wait_for_step(4)
        kill_during(call, run.actors("Learner")[number])
        killed = time.monotonic()
        step = metrics(tmp_path)[-1]["step"]
        run.wait_for_step(step + 1)
        print(f"rank {number} killed in {call}: the next step after {time.monotonic() - killed:.0f} s")
        assert time.monotonic() - killed < 120
        assert run.driver.wait(400) == 0, run.output()[-3000:]
        notes = run.output()
    print(next(line for line in notes.splitlines() if "a learner rank was lost during" in line))
    assert run_json(tmp_path)["state"] == "finished" and "the ranks start again" in notes
    repeated = int(notes.split(" updates repeated")[0].rsplit(" ", 1)[1])
    assert repeated <= 3
    for one, other in zip(metrics(whole), metrics(tmp_path), strict=True):
        for name in NAMES:
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-6), (one["step"], name)
    for step in range(1, 10):
        assert prompt_ids(tmp_path, step) == prompt_ids(whole, step)
    assert max(row["logprob_diff/max_abs"] for row in metrics(tmp_path)[1:]) <= 1e-4


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_run_goes_on_with_one_rank_and_grows_back_to_two(tmp_path):
    """The host of a rank is taken away; later there is another one."""
    for name in ("whole", "disturbed"):
        (tmp_path / name).mkdir()
    done = train(tmp_path / "whole", *LONGER)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    print(run_script("fewer_ranks_scenario.py", tmp_path / "disturbed", *LONGER, timeout_s=540))
    seen = json.loads((tmp_path / "disturbed/seen.json").read_text())
    assert seen["one_rank_s"] < 120
    assert run_json(tmp_path / "disturbed")["state"] == "finished"
    notes = (tmp_path / "disturbed/output.txt").read_text()
    assert "goes on with 2 ranks from step" in notes and "; 0 updates repeated" in " ".join(notes.split())
    for one, other in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "disturbed"), strict=True):
        for name in NAMES:
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-4), (one["step"], name)
    for step in range(1, 21):
        assert prompt_ids(tmp_path / "disturbed", step) == prompt_ids(tmp_path / "whole", step)
