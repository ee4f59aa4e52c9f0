"""Rewards minus their group's mean."""

import numpy as np
from jaxtyping import Float

from vlaa_ray.algorithms.advantages.base import GroupEstimator


class GroupCentred(GroupEstimator):
    """The estimator r - mean over the valid samples of a group, without a division.

    Source: Dr. GRPO (arXiv 2503.20783, section 3). Compared with TRL 1.16, `GRPOTrainer` with
    `scale_rewards="none"`.
    """

    def of_group(self, rewards: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        """See `GroupEstimator`."""
        return rewards - rewards.mean()
