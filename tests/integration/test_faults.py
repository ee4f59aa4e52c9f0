"""Signals and a lost learner; for lost rollout and reward actors see test_train."""

import signal

import pytest
from quickstart import run_json, running
from simulated_runs import sigterm_and_a_lost_rank, simulated

pytestmark = pytest.mark.integration
ENDLESS = ["run.num_steps=1000", "eval.num_prompts=8", "eval.every_steps=1000", "rewards.open_ended.scorer=words"]


def test_sigterm_saves_and_leaves_and_a_lost_learner_rank_ends_the_run_with_its_cause(tmp_path):
    """Engines, reward actors and ranks are simulated."""
    sigterm_and_a_lost_rank(simulated, tmp_path, "Rank")


@pytest.mark.acceptance
def test_real_ranks_save_and_leave_and_end_the_run_as_well(tmp_path):
    rows = sigterm_and_a_lost_rank(running, tmp_path, "Learner", *ENDLESS, "learner.zero_stage=2")
    assert max(row["logprob_diff/max_abs"] for row in rows[1:]) > 0


def test_ctrl_c_while_the_roles_start_ends_the_run_at_once(tmp_path):
    with running(tmp_path, *ENDLESS) as run:
        run.wait_until(lambda: bool(run.actors("Learner")), "a learner actor")
        run.driver.send_signal(signal.SIGINT)
        assert run.driver.wait(60) == 128 + signal.SIGINT, run.output()[-3000:]
    assert run_json(tmp_path)["state"] == "interrupted"
