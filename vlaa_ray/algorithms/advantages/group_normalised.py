"""Rewards minus their group's mean, divided by their group's standard deviation."""

import numpy as np
from jaxtyping import Float

from vlaa_ray.algorithms.advantages.base import GroupEstimator

STD_EPSILON = 1e-4


class GroupNormalised(GroupEstimator):
    """The estimator (r - mean) / (std + 1e-4) over the valid samples of a group, with the sample std (n - 1).

    Source: DeepSeekMath (arXiv 2402.03300, section 4.1.2). Compared with TRL 1.16, `GRPOTrainer` with
    `scale_rewards="group"`. Difference: a group with one valid sample gets 0 here (TRL refuses such groups).
    """

    def of_group(self, rewards: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        """See `GroupEstimator`."""
        return (rewards - rewards.mean()) / (rewards.std(ddof=1) + STD_EPSILON)
