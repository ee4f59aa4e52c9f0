"""Rewards minus the batch's mean, divided by the batch's standard deviation."""

import numpy as np
from jaxtyping import Bool, Float, Int

from vlaa_ray.algorithms.advantages.base import MIN_BATCH_STD, AdvantageEstimator, has_variance


class BatchNormalised(AdvantageEstimator):
    """The estimator (r - mean) / max(std, 1e-4) over all valid samples of the batch, with the population std.

    The baseline is the batch's. A group whose rewards are all equal is better or worse than the batch as a
    whole, so it is trained on. A batch whose rewards are all equal gets exactly 0 throughout.

    Source: REINFORCE++ (arXiv 2501.03262, "Global Advantage Normalization"). The limit of the std is
    OpenRLHF's. Differences: KL is a term of the loss here, not of the reward; each sample counts once in mean
    and std, where OpenRLHF counts it once a token.
    """

    trains_flat_groups = True

    def __call__(
        self, rewards: Float[np.ndarray, "N"], valid: Bool[np.ndarray, "N"], groups: Int[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N"]:
        advantages = np.zeros(rewards.shape, dtype=np.float64)
        if has_variance(rewards, valid):
            kept = rewards[valid].astype(np.float64)
            advantages[valid] = (kept - kept.mean()) / max(float(kept.std()), MIN_BATCH_STD)
        return advantages
