"""The statistics of an experiment: means over seeds, differences paired by seed, and rank agreement.

    mean_interval([50.0, 54.0])                          # mean 52 with its 95% t-interval
    paired_difference({0: 50, 1: 54}, {0: 40, 1: 45})    # of the seeds that both have
    rank_agreement([1, 2, 3, 4, 5], [2, 1, 3, 4, 5])     # Kendall's tau-b with its interval

An interval over seeds says how the result would vary with other seeds on the same questions. It does not say how it
would vary with other questions; the evaluation's own intervals do.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEVEL = 0.95
_LEAST_FOR_TAU = 5
_FIELLER = 0.437


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval; `low` and `high` are None where there is no interval, as with one value."""

    value: float
    low: float | None
    high: float | None
    count: int

    @property
    def sign(self) -> int:
        """1 if the whole interval is above 0, -1 if it is below, 0 if it holds 0 or there is no interval."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as `result.json` holds them."""
        return asdict(self)


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Return the mean with its t-interval: mean ± t(0.975, n - 1) · s / sqrt(n); None without values.

    s has n - 1 in its denominator. One value has no interval.
    """
    count = len(values)
    if not count:
        return None
    mean = statistics.fmean(values)
    if count == 1:
        return Estimate(mean, None, None, 1)
    half = _t_quantile(count - 1) * statistics.stdev(values) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Estimate | None:
    """Return the mean of value minus reference over the seeds that both have, with its interval."""
    return mean_interval([values[seed] - reference[seed] for seed in values if seed in reference])


def relative_change(values: Mapping[int, float], reference: Mapping[int, float]) -> Estimate | None:
    """Return the mean of 100 · (value - reference) / reference over the seeds that both have, with its interval.

    A reference of 0 has no relative change; its seed is left out.
    """
    pairs = [(values[seed], reference[seed]) for seed in values if reference.get(seed)]
    return mean_interval([100 * (value - before) / before for value, before in pairs])


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's tau-b of two lists with its 95% interval, and the p of the hypothesis that they are independent."""

    tau: float
    low: float | None
    high: float | None
    p: float | None
    count: int

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as `result.json` holds them."""
        return asdict(self)


def rank_agreement(first: Sequence[float], second: Sequence[float]) -> RankAgreement | None:
    """Return Kendall's tau-b of paired values; None for fewer than 2 pairs, or if all values of a list are equal.

    The interval is that of Fieller, Hartley and Pearson 1957: tanh(atanh(tau) ± 1.96 · sqrt(0.437 / (n - 4))), for 5
    pairs or more. A tau of 1 or -1 has its interval computed as if one pair of pairs disagreed, since it would have
    no width otherwise. The p is scipy's: exact for few pairs without ties, else that of the normal distribution.
    """
    from scipy.stats import kendalltau

    count = len(first)
    if count < 2 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    found = kendalltau(first, second)
    tau, p = float(found.statistic), float(found.pvalue)
    if count < _LEAST_FOR_TAU:
        return RankAgreement(tau, None, None, p, count)
    most = 1 - 4 / (count * (count - 1))
    centre = math.atanh(max(-most, min(most, tau)))
    half = _z_quantile() * math.sqrt(_FIELLER / (count - 4))
    return RankAgreement(tau, min(tau, math.tanh(centre - half)), max(tau, math.tanh(centre + half)), p, count)


def _t_quantile(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, degrees))


def _z_quantile() -> float:
    return statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
