"""Means, intervals and rank agreement, against values by hand and against scipy."""

import math
import random

import pytest
from scipy import stats

from vlaa_ray.experiments.analysis import mean_interval, paired_difference, rank_agreement, relative_change


def test_the_interval_of_two_values_by_hand():
    found = mean_interval([50.0, 54.0])  # s = 2.828, t(0.975, 1) = 12.706: half = 12.706 * 2.828 / 1.414
    assert found.value == 52 and found.count == 2
    assert found.high - found.value == pytest.approx(25.412, abs=1e-3)
    assert found.value - found.low == pytest.approx(25.412, abs=1e-3)


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_the_interval_is_scipys(count):
    rng = random.Random(count)
    values = [rng.gauss(50, 5) for _ in range(count)]
    expected = stats.t.interval(0.95, count - 1, loc=sum(values) / count, scale=stats.sem(values))
    found = mean_interval(values)
    assert (found.low, found.high) == pytest.approx(expected)


def test_one_value_has_no_interval_and_no_value_nothing():
    assert mean_interval([3.0]).as_dict() == {"value": 3.0, "low": None, "high": None, "count": 1}
    assert mean_interval([]) is None


def test_differences_are_paired_by_seed():
    found = paired_difference({0: 50.0, 1: 60.0, 2: 99.0}, {1: 55.0, 0: 44.0})
    assert (found.value, found.count) == (5.5, 2)  # 6 and 5; seed 2 has no partner
    expected = stats.ttest_rel([50.0, 60.0], [44.0, 55.0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_relative_change_is_in_percent_of_the_reference():
    found = relative_change({0: 50.0, 1: 60.0}, {0: 100.0, 1: 50.0})
    assert found.value == pytest.approx((-50 + 20) / 2)
    assert relative_change({0: 1.0}, {0: 0.0}) is None


def test_the_sign_says_on_which_side_of_0_the_whole_interval_is():
    assert mean_interval([5.0, 5.1, 4.9]).sign == 1
    assert mean_interval([-5.0, -5.1, -4.9]).sign == -1
    assert mean_interval([-1.0, 1.0]).sign == 0
    assert mean_interval([5.0]).sign == 0


@pytest.mark.parametrize("seed", range(5))
def test_tau_and_its_p_are_scipys(seed):
    rng = random.Random(seed)
    first = [rng.randrange(6) for _ in range(12)]  # with ties
    second = [value + rng.gauss(0, 2) for value in first]
    expected = stats.kendalltau(first, second)
    found = rank_agreement(first, second)
    assert (found.tau, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_the_interval_of_tau_by_hand():
    found = rank_agreement([1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6])  # one of 15 pairs disagrees: 13/15
    assert found.tau == pytest.approx(13 / 15)
    half = 1.959964 * math.sqrt(0.437 / 2)
    assert found.low == pytest.approx(math.tanh(math.atanh(13 / 15) - half), abs=1e-6)
    assert found.high == pytest.approx(math.tanh(math.atanh(13 / 15) + half), abs=1e-6)


def test_a_perfect_tau_has_an_interval_with_a_width():
    found = rank_agreement(range(8), range(8))
    assert found.tau == found.high == pytest.approx(1) and 0 < found.low < 0.9


def test_the_interval_of_tau_holds_the_true_one_about_as_often_as_it_says():
    rng, true = random.Random(0), 2 / math.pi * math.asin(0.6)  # of a normal pair with correlation 0.6
    hits = 0
    for _ in range(400):
        first = [rng.gauss(0, 1) for _ in range(12)]
        second = [0.6 * value + 0.8 * rng.gauss(0, 1) for value in first]
        found = rank_agreement(first, second)
        hits += found.low <= true <= found.high
    assert 0.90 < hits / 400 < 0.99


def test_too_few_or_equal_values_have_no_agreement():
    assert rank_agreement([1], [2]) is None
    assert rank_agreement([1, 1, 1], [1, 2, 3]) is None
    found = rank_agreement([1, 2, 3, 4], [1, 2, 4, 3])
    assert found.low is None and found.tau == pytest.approx(2 / 3)
