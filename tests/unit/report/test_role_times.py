"""The busy time of each role: hand-computed from the times of a few steps."""

import pytest
from matplotlib.figure import Figure

from vlaa_ray.report.role_times import busy_s, draw_roles, role_times
from vlaa_ray.run.reader import RecordedRun

STEP = {"time/step_s": 10.0, "time/rollout_s": 4.0, "time/learn_s": 3.0, "time/weight_sync_s": 1.0}


def recorded(tmp_path, *rows):
    return RecordedRun(tmp_path, [{"step": step, **row} for step, row in enumerate(rows)], {}, {}, ())


def test_a_role_is_idle_in_the_part_of_all_steps_in_which_it_has_no_work(tmp_path):
    evaluated = {"time/step_s": 30.0, "time/rollout_s": 4.0, "time/eval_s": 20.0, "time/learn_s": 3.0}
    run = recorded(tmp_path, {"eval/reward/mean": 0.1}, STEP | {"time/reward_s": 2.0}, evaluated)
    found = {role.role: (role.busy_s, role.idle_share) for role in role_times(run)}
    assert found == {
        "rollout": (4 + 1 + 4 + 20, pytest.approx(1 - 29 / 40)),
        "reward": (2, pytest.approx(1 - 2 / 40)),
        "learner": (3 + 1 + 3, pytest.approx(1 - 7 / 40)),
    }


def test_several_groups_at_once_can_keep_a_reward_actor_busy_for_the_whole_step_and_no_longer():
    assert busy_s(STEP | {"time/reward_s": 25.0}, "reward") == 10.0
    assert busy_s(STEP, "reward") is None


def test_a_run_without_times_has_no_roles(tmp_path):
    assert role_times(recorded(tmp_path, {"policy/loss": 1.0}, {"time/learn_s": 1.0})) == []


@pytest.mark.parametrize("num_steps", [1, 151, 1000])
def test_the_bars_of_a_lane_follow_each_other_to_the_end_of_the_steps(tmp_path, num_steps):
    axes = Figure().add_subplot()
    draw_roles(axes, recorded(tmp_path, *[STEP] * num_steps))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["rollout\nidle 50%", "learner\nidle 60%"]
    bars = axes.containers[1]
    assert len(bars) <= 150 and bars[0].get_x() == 0
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(num_steps * 10 / 60)
    assert {round(bar.get_height() / 0.8, 6) for bar in bars} == {0.5}
