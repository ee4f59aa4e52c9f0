"""Rewards of one group -> advantages. Legend: G samples of one prompt.

Source: DeepSeekMath (arXiv 2402.03300, section 4.1.2) for the division by the standard deviation, Dr. GRPO
(arXiv 2503.20783, section 3) for leaving it out. Compared with TRL 1.16, `GRPOTrainer` with `scale_rewards`
"group" (`std`) and "none" (`mean_only`): sample standard deviation (n - 1), epsilon 1e-4, unscorable samples
out of both statistics. Difference: a group of one valid sample gets 0 here too (TRL refuses such groups).
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from vlaa_ray.errors import RewardError

AdvantageKind = Literal["std", "mean_only"]

STD_EPSILON = 1e-4
MIN_SPREAD = 1e-8
"""Rewards closer than this are equal: the difference is rounding, and dividing by its std would train on noise."""


def has_variance(rewards: Float[np.ndarray, "G"], valid: Bool[np.ndarray, "G"]) -> bool:
    """Whether the group can teach anything: at least two valid rewards that differ.

    Raises RewardError if a valid reward is not a finite number.
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


def group_advantages(
    rewards: Float[np.ndarray, "G"], valid: Bool[np.ndarray, "G"], kind: AdvantageKind
) -> Float[np.ndarray, "G"]:
    """(r - mean) / (std + 1e-4) for `std`, r - mean for `mean_only`, in float64.

    Samples with `valid` False get 0 and never enter the mean or the std; their reward may be NaN. Groups
    without variance (see `has_variance`) are exactly 0 throughout.
    """
    advantages = np.zeros(rewards.shape, dtype=np.float64)
    if not has_variance(rewards, valid):
        return advantages
    kept = rewards[valid].astype(np.float64)
    centred = kept - kept.mean()
    advantages[valid] = centred / (kept.std(ddof=1) + STD_EPSILON) if kind == "std" else centred
    return advantages
