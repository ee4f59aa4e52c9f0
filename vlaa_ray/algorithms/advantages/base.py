"""The common parts of all advantage estimators. Legend: N samples of one batch, G samples of one group."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from vlaa_ray.errors import RewardError

MIN_SPREAD = 1e-8
"""Rewards closer than this count as equal: they differ by rounding only, and a division by their std gives noise."""
MIN_BATCH_STD = 1e-4
"""The smallest number that batch-wide estimators divide by: the root of OpenRLHF's limit of 1e-8 for the variance."""


def has_variance(rewards: Float[np.ndarray, "G"], valid: Bool[np.ndarray, "G"]) -> bool:
    """Return True if at least two rewards are valid and differ by more than MIN_SPREAD.

    Raises:
        RewardError: a valid reward is not a finite number.

    """
    kept = rewards[valid]
    if not np.isfinite(kept).all():
        raise RewardError(
            "a reward that counts as valid is not a finite number",
            got=rewards.tolist(),
            expected="finite values, or valid=False",
            fix="let the verifier return valid=False for what it can't judge",
        )
    return kept.size >= 2 and bool(np.ptp(kept) > MIN_SPREAD)


class AdvantageEstimator(ABC):
    """A formula from the rewards of a whole batch to the advantage of every sample."""

    trains_flat_groups: ClassVar[bool] = False
    """True if a group whose rewards are all equal may have advantages other than 0 and is trained on."""
    needs_whole_batch: ClassVar[bool] = True
    """True if a group's advantages depend on other groups, so that learning can't begin before all are there."""

    @abstractmethod
    def __call__(
        self, rewards: Float[np.ndarray, "N"], valid: Bool[np.ndarray, "N"], groups: Int[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N"]:
        """Return the advantages, in float64.

        `groups` holds the number of each sample's group. Samples with `valid` False get 0 and enter no
        statistic; their reward may be NaN.

        Raises:
            RewardError: a valid reward is not a finite number.

        """


class GroupEstimator(AdvantageEstimator):
    """An estimator that looks at one group at a time. Groups without variance get exactly 0 throughout."""

    needs_whole_batch = False

    def __call__(
        self, rewards: Float[np.ndarray, "N"], valid: Bool[np.ndarray, "N"], groups: Int[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N"]:
        advantages = np.zeros(rewards.shape, dtype=np.float64)
        order = np.argsort(groups, kind="stable")  # sorted once: the time grows with the samples, not with their square
        for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            if has_variance(rewards[members], valid[members]):
                kept = members[valid[members]]
                advantages[kept] = self.of_group(rewards[kept].astype(np.float64))
        return advantages

    @abstractmethod
    def of_group(self, rewards: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        """Return the advantages of one group from its valid rewards, at least two that differ."""
