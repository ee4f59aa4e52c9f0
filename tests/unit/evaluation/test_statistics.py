"""Intervals, pass@k, majorities and paired tests against hand-computed values, enumeration and scipy."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from vlaa_ray.evaluation.statistics import (
    counted_ks,
    interval,
    majority_value,
    mcnemar_p,
    paired_difference,
    pass_at_k,
)


@pytest.mark.parametrize("num_samples", [1, 2, 5, 8])
def test_pass_at_k_is_the_share_of_all_choices_of_k_samples_that_hold_a_right_one(num_samples):
    for num_correct in range(num_samples + 1):
        samples = [True] * num_correct + [False] * (num_samples - num_correct)
        for k in range(1, num_samples + 1):
            choices = list(combinations(samples, k))
            share = sum(map(any, choices)) / len(choices)
            assert pass_at_k(num_samples, num_correct, k) == pytest.approx(share)


def test_pass_at_k_of_the_paper_by_hand():
    assert pass_at_k(4, 1, 2) == pytest.approx(1 - 3 / 6)
    assert pass_at_k(200, 3, 1) == pytest.approx(0.015)


@pytest.mark.parametrize(("num_samples", "num_correct", "k"), [(4, 5, 1), (4, 1, 5), (4, 1, 0), (4, -1, 1)])
def test_impossible_counts_are_refused(num_samples, num_correct, k):
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(num_samples, num_correct, k)


def test_the_reported_ks_are_powers_of_two_and_all_samples():
    assert counted_ks(1) == [1]
    assert counted_ks(8) == [1, 2, 4, 8]
    assert counted_ks(6) == [1, 2, 4, 6]


def test_the_majoritys_answer_counts():
    assert majority_value(["B", "a", "A "], [1.0, 0.0, 0.0]) == 0.0
    assert majority_value(["B", "A"], [1.0, 0.0]) == 1.0  # equally frequent: the first sample's
    assert majority_value([None, None, "B"], [0.0, 0.0, 1.0]) == 1.0  # no answer, no vote
    assert majority_value([None], [0.0]) == 0.0


def test_the_interval_of_a_mean_is_scipys_percentile_interval():
    values = np.random.default_rng(3).integers(0, 2, 400) * 100.0
    low, high = interval(values, np.ones(400))
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0))
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.75)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.75)


def test_the_interval_is_the_same_each_time_and_wider_for_whole_clusters():
    generator = np.random.default_rng(1)
    clusters = generator.random(50) > 0.5
    rows = np.repeat(clusters, 10) * 100.0  # all variants of a question alike
    by_row, by_cluster = interval(rows, np.ones(500)), interval(clusters * 100.0, np.full(50, 10.0))
    assert by_row == interval(rows, np.ones(500))
    assert by_cluster[1] - by_cluster[0] == pytest.approx(np.sqrt(10) * (by_row[1] - by_row[0]), rel=0.15)


def test_a_score_without_spread_has_a_point_as_interval():
    assert interval([100.0] * 7, [1.0] * 7) == (100.0, 100.0)


def test_weights_are_those_of_a_ratio_of_sums():
    low, high = interval([0.0, 100.0], [1.0, 3.0])
    assert (low, high) == (0.0, 100.0)
    assert paired_difference([0.0, 0.0], [0.0, 100.0], [1.0, 3.0]).value == pytest.approx(75.0)


def test_a_paired_difference_is_much_surer_than_the_two_scores():
    generator = np.random.default_rng(5)
    first = generator.integers(0, 2, 500) * 100.0
    second = first.copy()
    second[:25] = 100.0
    difference = paired_difference(first, second, np.ones(500))
    assert difference.value == pytest.approx((second - first).mean())
    assert 0 < difference.low < difference.value < difference.high
    low, high = interval(first, np.ones(500))
    assert difference.high - difference.low < (high - low) / 2


def test_mcnemar_is_the_exact_binomial_test():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1, 8) == pytest.approx(2 * (1 + 9) / 2**9)  # by hand: both tails of 9 throws with at most 1
    for only_first, only_second in ((3, 5), (12, 30), (0, 6)):
        theirs = binomtest(only_second, only_first + only_second, 0.5).pvalue
        assert mcnemar_p(only_first, only_second) == pytest.approx(theirs)
