"""Rewards minus their group's mean, divided by the batch's standard deviation of that difference."""

import numpy as np
from jaxtyping import Bool, Float, Int

from vlaa_ray.algorithms.advantages.base import MIN_BATCH_STD, AdvantageEstimator
from vlaa_ray.algorithms.advantages.group_centred import GroupCentred


class GroupCentredBatchNormalised(AdvantageEstimator):
    """The estimator d / max(std(d), 1e-4), where d = r - mean of the group and std is over all valid samples.

    The mean of d over the batch is 0, so nothing else is subtracted. The std is the population's. A group
    without variance has d = 0: its samples count in the std and get exactly 0, so it is not trained on.

    Source: REINFORCE++ with baseline (arXiv 2501.03262, "REINFORCE++ w/ Baseline"). The limit of the std is
    OpenRLHF's. Difference: each sample counts once in the std, where OpenRLHF counts it once a token.
    """

    def __call__(
        self, rewards: Float[np.ndarray, "N"], valid: Bool[np.ndarray, "N"], groups: Int[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N"]:
        centred = GroupCentred()(rewards, valid, groups)
        if not valid.any():
            return centred
        return centred / max(float(centred[valid].std()), MIN_BATCH_STD)
