"""A rank of the learner that is killed: the run goes on by itself, and its steps are those of an undisturbed run."""

import json
import random
import time

import pytest
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
]
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rank_killed_at_any_time_costs_time_alone(whole, tmp_path, seed):
    chosen = random.Random(seed)
    with running(tmp_path, *OPTIONS) as run:
        run.wait_for_step(4)
        time.sleep(chosen.uniform(0, 3))  # sampling, forward, backward, optimizer step, weight sync
        run.actors("Learner")[seed % 2].kill()
        killed = time.monotonic()
        step = metrics(tmp_path)[-1]["step"]
        run.wait_for_step(step + 1)
        print(f"seed {seed}: the next step after {time.monotonic() - killed:.0f} s")
        assert time.monotonic() - killed < 120
        assert run.driver.wait(400) == 0, run.output()[-3000:]
        notes = run.output()
    assert run_json(tmp_path)["state"] == "finished" and "the ranks start again" in notes
    repeated = int(notes.split(" updates repeated")[0].rsplit(" ", 1)[1])
    assert repeated <= 3
    for one, other in zip(metrics(whole), metrics(tmp_path), strict=True):
        for name in NAMES:
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-6), (one["step"], name)
    for step in range(1, 10):
        assert prompt_ids(tmp_path, step) == prompt_ids(whole, step)
    assert max(row["logprob_diff/max_abs"] for row in metrics(tmp_path)[1:]) <= 1e-4
