"""Rewards less the mean of the other samples of their group."""

import numpy as np
from jaxtyping import Float

from vlaa_ray.algorithms.advantages.base import GroupEstimator


class LeaveOneOut(GroupEstimator):
    """The estimator r_i - mean of the other r_j, over the k valid samples of a group.

    The baseline of a sample does not depend on that sample, so the gradient has no bias. The result is
    k / (k - 1) times r_i - mean of all.

    Source: "Back to Basics" (arXiv 2402.14740, section 2.3, RLOO; after Kool et al., 2019). Compared with TRL 1.16,
    `RLOOTrainer` with `beta=0`.
    """

    def of_group(self, rewards: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        return rewards - (rewards.sum() - rewards) / (rewards.size - 1)
