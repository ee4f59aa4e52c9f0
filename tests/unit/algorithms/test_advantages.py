import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vlaa_ray.algorithms.advantages import ADVANTAGES, has_variance
from vlaa_ray.errors import RewardError

ALL = np.ones(4, dtype=bool)
GROUP_WISE = ["std", "mean_only", "rloo"]
rewards_lists = st.lists(st.floats(0, 1), min_size=2, max_size=16)
batches = st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=6), min_size=2, max_size=5)


def advantages(rewards, kind="std", valid=None, groups=None):
    rewards = np.asarray(rewards, dtype=np.float64)
    valid = np.ones(len(rewards), dtype=bool) if valid is None else np.asarray(valid)
    groups = np.zeros(len(rewards), dtype=np.int64) if groups is None else np.asarray(groups)
    return ADVANTAGES[kind](rewards, valid, groups)


def test_by_hand():
    # mean 0.5; deviations 0.5, -0.5, -0.5, 0.5; sample std sqrt(4 * 0.25 / 3) = 0.57735
    expected = 0.5 / (np.sqrt(1 / 3) + 1e-4)
    np.testing.assert_allclose(advantages([1, 0, 0, 1]), [expected, -expected, -expected, expected], atol=1e-15)
    np.testing.assert_array_equal(advantages([1, 0, 0, 1], "mean_only"), [0.5, -0.5, -0.5, 0.5])


def test_invalid_samples_get_zero_and_touch_nothing():
    with_invalid = advantages([1, np.nan, 0, 123.0, 0.5], valid=[True, False, True, False, True])
    np.testing.assert_array_equal(with_invalid[[0, 2, 4]], advantages([1, 0, 0.5]))
    np.testing.assert_array_equal(with_invalid[[1, 3]], 0)


@pytest.mark.parametrize("kind", ADVANTAGES)
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
@given(rewards_lists, st.floats(-100, 100), st.sampled_from(list(ADVANTAGES)))
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


def test_leave_one_out_by_hand():
    # each reward less the mean of the other three: 1 - 1/3, 0 - 2/3, 0 - 2/3, 1 - 1/3
    np.testing.assert_allclose(advantages([1, 0, 0, 1], "rloo"), [2 / 3, -2 / 3, -2 / 3, 2 / 3], atol=1e-15)
    np.testing.assert_allclose(advantages([1, np.nan, 0], "rloo", valid=[True, False, True]), [1, 0, -1], atol=1e-15)


def test_batch_normalised_by_hand():
    # two groups, 1 1 | 0 0.5: mean 0.625; deviations .375 .375 -.625 -.125; mean square 0.171875
    std = np.sqrt(0.171875)
    expected = np.array([0.375, 0.375, -0.625, -0.125]) / std
    np.testing.assert_allclose(advantages([1, 1, 0, 0.5], "reinforce_pp", groups=[0, 0, 1, 1]), expected, atol=1e-12)


def test_group_baseline_over_the_batch_by_hand():
    # less the groups' means 1 and 0.25: 0 0 | -0.25 0.25; std over all four: sqrt(2 * 0.0625 / 4)
    expected = np.array([0, 0, -0.25, 0.25]) / np.sqrt(0.03125)
    found = advantages([1, 1, 0, 0.5], "reinforce_pp_baseline", groups=[0, 0, 1, 1])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None)
@given(batches, st.sampled_from(GROUP_WISE))
def test_a_group_is_judged_alone(batch, kind):
    rewards = [reward for group in batch for reward in group]
    groups = np.repeat(np.arange(len(batch)), list(map(len, batch)))
    found = advantages(rewards, kind, groups=groups)
    alone = np.concatenate([advantages(group, kind) for group in batch])
    np.testing.assert_array_equal(found, alone)


@settings(deadline=None)
@given(batches)
def test_batch_normalised_has_mean_0_and_deviation_1(batch):
    rewards = np.array([reward for group in batch for reward in group])
    assume(rewards.std() > 1e-3)
    groups = np.repeat(np.arange(len(batch)), list(map(len, batch)))
    found = advantages(rewards, "reinforce_pp", groups=groups)
    assert abs(found.mean()) < 1e-9 and found.std() == pytest.approx(1, abs=1e-9)


@settings(deadline=None)
@given(batches)
def test_a_group_baseline_sums_to_zero_in_each_group(batch):
    groups = np.repeat(np.arange(len(batch)), list(map(len, batch)))
    rewards = [reward for group in batch for reward in group]
    for kind in ("rloo", "mean_only", "reinforce_pp_baseline"):
        found = advantages(rewards, kind, groups=groups)
        assert all(abs(found[groups == number].sum()) < 1e-6 for number in range(len(batch)))
