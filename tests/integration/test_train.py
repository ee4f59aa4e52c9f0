"""The quickstart's run, shortened, as a user starts it: real Ray, vLLM and DeepSpeed."""

import json
import signal
import time

import psutil
import pytest
from metric_table import check_logged
from quickstart import ROOT, alive, in_use, metrics, run_json, running, shared_memory, train
from sockets import listening_beyond_loopback

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
OPTIONS = ["run.num_steps=10", "checkpoint.every_steps=5", "eval.every_steps=10"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    result = train(folder, *OPTIONS)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return folder, result


def test_a_run_ends_with_a_table_a_report_and_a_model(finished):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder, result = finished
    run = folder / "quickstart"
    assert "Held-out reward" in result.stdout and (run / "report.html").is_file()
    assert run_json(folder)["state"] == "finished"
    check_logged(run, "grpo")
    steps = metrics(folder)
    assert [step["step"] for step in steps] == list(range(11))
    assert all("eval/reward/mean" in steps[number] for number in (0, 10))
    hf = run / "checkpoints/step_000010/hf"
    trained = AutoModelForImageTextToText.from_pretrained(hf)
    base = AutoModelForImageTextToText.from_pretrained(ROOT / "vlaa_ray/models/builtin/tiny-base")
    assert any(
        (one - other).abs().max() > 0 for one, other in zip(trained.parameters(), base.parameters(), strict=True)
    )
    AutoProcessor.from_pretrained(hf)


def test_engine_and_learner_agree_on_every_token_of_every_step(finished):
    for step in metrics(finished[0])[1:]:
        assert step["logprob_diff/max_abs"] <= 1e-4, step
        assert step["staleness/max"] == 0
        assert step["reward/invalid_share"] == 0


def what_is_left(run, family, before):
    """Processes of the run, and what lies in shared memory since `before` and belongs to no living process."""
    new = shared_memory() - before
    return [*alive(family), *run.processes(), *(new - in_use(new))]


def lose_actors(run, folder):
    """Kill the reward actor, then the engine, and let the engine in its place hang: each is replaced."""
    run.wait_for_step(1)
    (reward,) = run.actors("Reward")
    reward.kill()
    run.wait_for_step(2)
    (first,) = run.actors("Rollout")
    first.kill()
    run.wait_until(lambda: metrics(folder)[-1]["rollout/restarts"] == 1, "step with a new engine")
    (second,) = run.actors("Rollout")
    assert second.pid != first.pid
    for process in [second, *second.children(recursive=True)]:
        process.send_signal(signal.SIGSTOP)
    run.wait_until(lambda: metrics(folder)[-1]["rollout/restarts"] == 2, "step with a third engine")
    assert metrics(folder)[-1]["reward/restarts"] == 1
    assert run.output().count("is lost and replaced") == 3


def test_a_run_that_loses_actors_and_is_killed_leaves_nothing_and_resumes_exactly(finished, tmp_path):
    """10 steps against 5 with three lost actors, a `kill -9` of the driver, and 5 more in new processes."""
    before, options = shared_memory(), [*OPTIONS, "deadlines.rollout_s=15"]
    with running(tmp_path, *options) as run:
        lose_actors(run, tmp_path)
        run.wait_until((tmp_path / "quickstart/checkpoints/step_000005/manifest.json").is_file, "checkpoint")
        family = psutil.Process(run.driver.pid).children(recursive=True)
        assert not (wide := listening_beyond_loopback(run.driver.pid)), wide
        run.wait_until(lambda: bool(shared_memory() - before), "weights in shared memory", every_s=0.01)
    deadline = time.monotonic() + 15
    while (left := what_is_left(run, family, before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left, left
    assert run_json(tmp_path)["state"] == "running"  # it had no time to say otherwise
    result = train(tmp_path, *options)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert run_json(tmp_path)["resumed_from_step"] == 5
    whole, resumed = metrics(finished[0]), metrics(tmp_path)
    assert [step["step"] for step in resumed] == list(range(11))
    for one, other in zip(whole, resumed, strict=True):
        for name in ("policy/loss", "policy/grad_norm", "reward/mean", "completion/mean_tokens", "learning_rate"):
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-6), (one["step"], name)
    for row in resumed[1:]:
        assert row["reward/count"] == 32 and row["groups/failed"] == 0
        assert row["logprob_diff/max_abs"] <= 1e-4  # replaced engines have the current weights
    for number in range(1, 11):
        name = f"quickstart/rollouts/step_{number:06d}.jsonl"
        rows = [[json.loads(line) for line in (run / name).read_text().splitlines()] for run in (finished[0], tmp_path)]
        assert [row["prompt_id"] for row in rows[0]] == [row["prompt_id"] for row in rows[1]]
        assert [row["completion"] for row in rows[0]] == [row["completion"] for row in rows[1]]
