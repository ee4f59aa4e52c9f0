"""The numbers beside a score: intervals, pass@k, the majority's answer, and the comparison of two models.

    pass_at_k(num_samples=4, num_correct=1, k=2)   -> 0.5
    interval([100, 0, 100], [1, 1, 1])             -> (low, high) of the mean, a 95% bootstrap interval
    mcnemar_p(only_first=1, only_second=8)         -> 0.0390625

Everything here is a function of its arguments: resamples are drawn with a fixed seed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
_SEED = 20_250_417
_AT_ONCE = 100
_LOW, _HIGH = 2.5, 97.5


class Difference(NamedTuple):
    """A paired difference, second minus first, with its 95% interval."""

    value: float
    low: float
    high: float


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Return the unbiased probability that one of `k` samples is right: 1 - C(n-c, k) / C(n, k).

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1. Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= num_correct <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"no pass@{k} of {num_correct} right ones among {num_samples}")
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def counted_ks(num_samples: int) -> list[int]:
    """Return the k for which pass@k is reported: the powers of 2 up to the number of samples, and that number."""
    powers = [1 << exponent for exponent in range(num_samples.bit_length()) if 1 << exponent <= num_samples]
    return powers if powers[-1] == num_samples else [*powers, num_samples]


def majority_value(extracted: Sequence[str | None], values: Sequence[float]) -> float:
    """Return the value of the answer that most samples give; among equally frequent ones the first sample's counts.

    Samples without an answer have no vote. Without any answer the value is 0.
    """
    votes = Counter(_ballot(answer) for answer in extracted if answer is not None)
    if not votes:
        return 0.0
    chosen = max(votes, key=lambda ballot: votes[ballot])  # the first of the most frequent, in the order of samples
    return next(
        value
        for answer, value in zip(extracted, values, strict=True)
        if answer is not None and _ballot(answer) == chosen
    )


def interval(values: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    """Return the 95% percentile interval of the weighted mean of `values`, by drawing units with replacement.

    A unit is a question, or all variants of one. `weights` is the share of each unit in the mean.
    """
    means = _resampled(np.asarray(values, dtype=float), np.asarray(weights, dtype=float))
    low, high = np.percentile(means, [_LOW, _HIGH])
    return float(low), float(high)


def paired_difference(first: Sequence[float], second: Sequence[float], weights: Sequence[float]) -> Difference:
    """Return the mean of `second` minus that of `first` over the same units, with its interval; units are drawn once
    for both.
    """
    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    mean = float(np.average(differences, weights=weights))
    return Difference(mean, *interval(differences.tolist(), weights))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p of McNemar's test: of the rows that only one is right on, each is a coin's throw.

    Source: the binomial test with p = 1/2 of McNemar 1947. It is 1 if there is no such row.
    """
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_first, discordant, 0.5).pvalue)


def _ballot(answer: str) -> str:
    return " ".join(answer.split()).casefold()


def _resampled(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return RESAMPLES weighted means [RESAMPLES] of units drawn with replacement."""
    generator, count = np.random.default_rng(_SEED), len(values)
    means = []
    for _ in range(RESAMPLES // _AT_ONCE):  # in parts: the numbers of 5,000 units take 4 MB at once
        drawn = generator.integers(count, size=(_AT_ONCE, count))
        chosen = weights[drawn]
        means.append((values[drawn] * chosen).sum(axis=1) / chosen.sum(axis=1))
    return np.concatenate(means)
