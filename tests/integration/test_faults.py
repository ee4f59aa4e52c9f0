"""Signals and a lost learner in real runs; for lost rollout and reward actors see test_train."""

import signal

import pytest
from quickstart import metrics, run_json, running

pytestmark = pytest.mark.integration
ENDLESS = ["run.num_steps=1000", "eval.num_prompts=8", "eval.every_steps=1000", "rewards.open_ended.scorer=words"]


def test_sigterm_saves_and_leaves_and_a_lost_learner_rank_ends_the_run_with_its_cause(tmp_path):
    """On two ranks, with rollouts that overlap learning."""
    options = [
        *ENDLESS,
        "learner.num_ranks=2",
        "learner.zero_stage=2",
        "max_staleness=1",
        "checkpoint.every_steps=1000",
        "learner.max_restarts=0",
    ]
    with running(tmp_path, *options) as run:
        run.wait_for_step(2)
        run.driver.send_signal(signal.SIGTERM)
        assert run.driver.wait(60) == 128 + signal.SIGTERM, run.output()[-3000:]
    assert run_json(tmp_path)["state"] == "interrupted"
    saved = metrics(tmp_path)[-1]["step"]
    assert (tmp_path / f"quickstart/checkpoints/step_{saved:06d}/hf/config.json").is_file()
    with running(tmp_path, *options) as run:
        run.wait_for_step(saved + 2)
        rows = metrics(tmp_path)
        assert [row["step"] for row in rows] == list(range(len(rows)))
        # only the first steps after a start have rollouts of the newest weights
        assert [row["staleness/max"] for row in rows[1:]] == [
            float(step not in (1, saved + 1)) for step in range(1, len(rows))
        ]
        assert max(row["logprob_diff/max_abs"] for row in rows[1:]) > 0
        run.actors("Learner")[1].kill()
        assert run.driver.wait(120) == 1, run.output()[-3000:]
    state = run_json(tmp_path)
    assert (state["state"], state["error"]["type"]) == ("failed", "LearnerError")
    assert "a learner rank was lost" in run.output() and "Traceback" not in run.output()


def test_ctrl_c_while_the_roles_start_ends_the_run_at_once(tmp_path):
    with running(tmp_path, *ENDLESS) as run:
        run.wait_until(lambda: bool(run.actors("Learner")), "a learner actor")
        run.driver.send_signal(signal.SIGINT)
        assert run.driver.wait(60) == 128 + signal.SIGINT, run.output()[-3000:]
    assert run_json(tmp_path)["state"] == "interrupted"
