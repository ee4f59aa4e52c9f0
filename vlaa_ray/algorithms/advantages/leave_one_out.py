"""Rewards minus the mean of the other samples of their group."""

import numpy as np
from jaxtyping import Float

from vlaa_ray.algorithms.advantages.base import GroupEstimator


class LeaveOneOut(GroupEstimator):
    """The estimator r_i - mean of the other r_j, over the k valid samples of a group.

    The baseline of a sample does not depend on that sample, so the gradient has no bias. The result is
    k / (k - 1) times r_i - mean of all.

    Source: "Back to Basics" (arXiv 2402.14740, the estimator RLOO; after Kool et al., 2019). TRL 1.16 has the
    same formula in `RLOOTrainer`.
    """

    def of_group(self, rewards: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        """See `GroupEstimator`."""
        return rewards - (rewards.sum() - rewards) / (rewards.size - 1)
