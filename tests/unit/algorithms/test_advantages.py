import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vlaa_ray.algorithms.advantages import group_advantages, has_variance
from vlaa_ray.errors import RewardError

ALL = np.ones(4, dtype=bool)
rewards_lists = st.lists(st.floats(0, 1), min_size=2, max_size=16)


def advantages(rewards, kind="std", valid=None):
    rewards = np.asarray(rewards, dtype=np.float64)
    return group_advantages(rewards, np.ones(len(rewards), dtype=bool) if valid is None else np.asarray(valid), kind)


def test_by_hand():
    # mean 0.5; deviations 0.5, -0.5, -0.5, 0.5; sample std sqrt(4 * 0.25 / 3) = 0.57735
    expected = 0.5 / (np.sqrt(1 / 3) + 1e-4)
    np.testing.assert_allclose(advantages([1, 0, 0, 1]), [expected, -expected, -expected, expected], atol=1e-15)
    np.testing.assert_array_equal(advantages([1, 0, 0, 1], "mean_only"), [0.5, -0.5, -0.5, 0.5])


def test_invalid_samples_get_zero_and_touch_nothing():
    with_invalid = advantages([1, np.nan, 0, 123.0, 0.5], valid=[True, False, True, False, True])
    np.testing.assert_array_equal(with_invalid[[0, 2, 4]], advantages([1, 0, 0.5]))
    np.testing.assert_array_equal(with_invalid[[1, 3]], 0)


@pytest.mark.parametrize("kind", ["std", "mean_only"])
@pytest.mark.parametrize("reward", [0.0, 0.1, 1 / 3, 1.0])
def test_equal_rewards_are_exactly_zero(reward, kind):
    # The mean of seven times 0.1 isn't 0.1 in floating point: without the spread check these would be noise.
    np.testing.assert_array_equal(advantages([reward] * 7, kind), 0)
    np.testing.assert_array_equal(advantages([0.1 + 0.2, 0.3], kind), 0)


@pytest.mark.parametrize("valid", [[False] * 3, [False, True, False]])
def test_fewer_than_two_valid_rewards_teach_nothing(valid):
    np.testing.assert_array_equal(advantages([0.2, 1.0, 0.4], valid=valid), 0)
    assert not has_variance(np.array([0.2, 1.0, 0.4]), np.array(valid))


def test_variance_is_of_the_valid_rewards():
    rewards = np.array([1.0, 1.0, 0.0])
    assert has_variance(rewards, np.array([True, True, True]))
    assert not has_variance(rewards, np.array([True, True, False]))


def test_a_valid_reward_that_is_not_finite_is_an_error():
    with pytest.raises(RewardError, match="valid=False"):
        advantages([1.0, np.nan])


def test_a_group_without_samples_is_empty():
    assert advantages([]).tolist() == []


@settings(deadline=None)
@given(rewards_lists, st.floats(-100, 100), st.sampled_from(["std", "mean_only"]))
def test_zero_mean_and_shift_invariance(rewards, shift, kind):
    assume(not 0 < np.ptp(rewards) < 1e-6)  # rounding of the shift may hide so small a spread
    result = advantages(rewards, kind)
    assert abs(result.mean()) < 1e-9
    np.testing.assert_allclose(advantages(np.asarray(rewards) + shift, kind), result, atol=1e-7)


@settings(deadline=None)
@given(rewards_lists, st.floats(0.01, 100))
def test_scale(rewards, scale):
    assume(np.ptp(rewards) > 1e-3)
    rewards = np.asarray(rewards)
    np.testing.assert_allclose(advantages(rewards * scale, "mean_only"), advantages(rewards, "mean_only") * scale)
    # With "std" only the epsilon sees the scale: result * (std + epsilon) / std is the same for all.
    std = rewards.std(ddof=1)
    standard_scores = advantages(rewards) * (std + 1e-4) / std
    scaled_scores = advantages(rewards * scale) * (scale * std + 1e-4) / (scale * std)
    np.testing.assert_allclose(scaled_scores, standard_scores, rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(rewards_lists, st.randoms(use_true_random=False))
def test_order_of_samples_does_not_matter(rewards, random):
    order = list(range(len(rewards)))
    random.shuffle(order)
    np.testing.assert_allclose(advantages(np.asarray(rewards)[order]), advantages(rewards)[order], atol=1e-9)
