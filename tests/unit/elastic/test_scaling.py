"""The size of a pool, decided from numbers alone."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.elastic.scaling import Limits, Load, Scaling, next_size

LIMITS = Limits(smallest=1, largest=8, prompts_per_step=16, cool_down_s=60)
WAITS_FOR_SAMPLES = Load(wait_share=0.6, sampling_share=0.9, groups_waiting=0)
WAITS_FOR_REWARDS = Load(wait_share=0.6, sampling_share=0.1, groups_waiting=0)
BALANCED = Load(wait_share=0.15, sampling_share=0.9, groups_waiting=3)
HAS_RESERVE = Load(wait_share=0.0, sampling_share=0.9, groups_waiting=8)


def sizes(role, loads, start=1, every_s=100.0, limits=LIMITS):
    scaling, found = Scaling(size=start), []
    for number, load in enumerate(loads):
        scaling = next_size(scaling, load, role, limits, now_s=number * every_s)
        found.append(scaling.size)
    return found


def test_a_pool_grows_by_half_while_the_learner_waits_for_samples_and_stops_at_its_limit():
    # two steps in a row must ask for it; 1 -> 2 -> 3 -> 4 -> 6 -> 8
    assert sizes("rollout", [WAITS_FOR_SAMPLES] * 12) == [1, 2, 2, 3, 3, 4, 4, 6, 6, 8, 8, 8]


def test_only_the_role_that_groups_wait_for_grows():
    assert sizes("rollout", [WAITS_FOR_REWARDS] * 4) == [1, 1, 1, 1]
    assert sizes("reward", [WAITS_FOR_REWARDS] * 4) == [1, 2, 2, 3]
    assert sizes("reward", [WAITS_FOR_SAMPLES] * 4) == [1, 1, 1, 1]


def test_a_pool_shrinks_by_one_while_finished_groups_wait_and_keeps_its_least_size():
    assert sizes("rollout", [HAS_RESERVE] * 8, start=3) == [3, 2, 2, 1, 1, 1, 1, 1]


def test_a_load_between_the_thresholds_changes_nothing():
    assert sizes("rollout", [BALANCED] * 6, start=4) == [4] * 6


def test_one_step_alone_changes_nothing():
    assert sizes("rollout", [WAITS_FOR_SAMPLES, HAS_RESERVE] * 4, start=4) == [4] * 8
    assert sizes("rollout", [WAITS_FOR_SAMPLES, BALANCED] * 4, start=4) == [4] * 8


def test_changes_have_a_distance_in_time():
    # a step takes 10 s, so the change after the one at 10 s comes at 70 s
    assert sizes("rollout", [WAITS_FOR_SAMPLES] * 9, every_s=10) == [1, 2, 2, 2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize(("start", "expected"), [(0, 2), (9, 8)])
def test_a_size_outside_the_limits_is_brought_inside_at_once(start, expected):
    limits = Limits(smallest=2, largest=8, prompts_per_step=16, cool_down_s=60)
    assert sizes("rollout", [BALANCED], start=start, limits=limits) == [expected]


LOADS = st.builds(
    Load,
    wait_share=st.floats(0, 1),
    sampling_share=st.floats(0, 1),
    groups_waiting=st.integers(0, 64),
)


@given(loads=st.lists(LOADS, max_size=40), role=st.sampled_from(["rollout", "reward"]), every_s=st.floats(1, 200))
def test_the_size_stays_in_its_limits_and_never_swings_within_the_cool_down(loads, role, every_s):
    found = [1, *sizes(role, loads, every_s=every_s)]
    assert all(1 <= size <= 8 for size in found)
    changed = [number for number in range(1, len(found)) if found[number] != found[number - 1]]
    assert all((after - before) * every_s >= 60 - 1e-6 for before, after in pairwise(changed))
    assert not any(math.isnan(size) for size in found)
