import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from vlaa_ray.algorithms.schedule import learning_rate


def test_by_hand():
    # 10 steps, 2 of warm-up to 1.0, then half a cosine in 8 steps down to 0.2; half way (step 5) is 0.6.
    rates = [learning_rate(step, 10, 1.0, 0.2, 0.2) for step in range(10)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[5] == pytest.approx(0.6)
    assert rates[3] == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert rates[9] == pytest.approx(0.2, abs=1e-15)


@pytest.mark.parametrize(
    ("num_steps", "warmup_share"), [(1, 0.0), (1, 0.03), (10, 0.0), (49, 0.03), (392, 0.03), (7, 0.99)]
)
def test_is_transformers_schedule_one_step_on(num_steps, warmup_share):
    peak, minimum = 1e-6, 5e-7
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer, math.ceil(num_steps * warmup_share), num_steps, min_lr=minimum
    )
    for step in range(num_steps):
        optimizer.step()
        schedule.step()
        assert learning_rate(step, num_steps, peak, minimum, warmup_share) == pytest.approx(
            schedule.get_last_lr()[0], rel=1e-12
        )


@settings(deadline=None)
@given(st.integers(1, 500), st.floats(0, 0.99), st.floats(0, 1))
def test_rises_then_falls_between_its_limits(num_steps, warmup_share, minimum):
    rates = [learning_rate(step, num_steps, 1.0, minimum, warmup_share) for step in range(num_steps)]
    top = max(math.ceil(warmup_share * num_steps) - 1, 0)
    assert all(0 < rate <= 1 + 1e-12 for rate in rates[:-1])
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert all(later <= earlier + 1e-12 for earlier, later in zip(rates[top:], rates[top + 1 :], strict=False))


def test_stays_at_the_minimum_after_the_last_step():
    assert learning_rate(10, 10, 1.0, 0.25, 0.0) == learning_rate(99, 10, 1.0, 0.25, 0.0) == 0.25
