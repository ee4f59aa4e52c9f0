"""Alarms: which limits a run has, and when it says that one is passed."""

import pytest

from vlaa_ray.config import GrpoConfig
from vlaa_ray.monitoring.alarms import Alarms

MAX, MEAN = "logprob_diff/max_abs", "logprob_diff/mean_abs"


@pytest.mark.parametrize(
    ("dtype", "max_staleness", "alarms", "expected"),
    [
        ("fp32", 0, {}, {MAX: 1e-3}),
        ("bf16", 0, {}, {MEAN: 0.05}),
        ("fp32", 1, {}, {}),
        ("bf16", 1, {}, {}),
        ("fp32", 0, {"max_logprob_diff": 1e-4, "mean_logprob_diff": 1e-5}, {MAX: 1e-4, MEAN: 1e-5}),
        ("bf16", 2, {"max_logprob_diff": 3}, {MAX: 3}),
    ],
)
def test_limits_follow_the_dtype_unless_they_are_set(dtype, max_staleness, alarms, expected):
    config = GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": 1},
            "model": {"path": "none", "dtype": dtype},
            "max_staleness": max_staleness,
            "alarms": alarms,
        }
    )
    assert config.metric_limits == expected


def test_a_metric_beyond_its_limit_is_told_once_until_it_was_within_it_again():
    alarms = Alarms({MAX: 1e-3})
    values = [1e-3, 2e-3, 3e-3, 1e-5, float("nan")]
    told = [alarms.messages(step, {MAX: value, MEAN: 9.0}) for step, value in enumerate(values, start=1)]
    assert [bool(messages) for messages in told] == [False, True, False, False, True]
    assert told[1][0].startswith("step 2: logprob_diff/max_abs is 0.002, above its limit of 0.001")


def test_a_step_without_the_metric_is_no_problem():
    assert Alarms({MAX: 1e-3}).messages(0, {"weight_version": 0}) == []
