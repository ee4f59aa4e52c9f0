"""The registry of advantage estimators by their name in `grpo.advantage`.

To add an estimator, write a file in this folder, add a line here, and add its name to `config.grpo.AdvantageName`.
"""

from vlaa_ray.algorithms.advantages.base import AdvantageEstimator, has_variance
from vlaa_ray.algorithms.advantages.batch_normalised import BatchNormalised
from vlaa_ray.algorithms.advantages.group_centred import GroupCentred
from vlaa_ray.algorithms.advantages.group_centred_batch_normalised import GroupCentredBatchNormalised
from vlaa_ray.algorithms.advantages.group_normalised import GroupNormalised
from vlaa_ray.algorithms.advantages.leave_one_out import LeaveOneOut
from vlaa_ray.config.grpo import AdvantageName

__all__ = ["ADVANTAGES", "AdvantageEstimator", "has_variance"]

ADVANTAGES: dict[AdvantageName, AdvantageEstimator] = {
    "std": GroupNormalised(),
    "mean_only": GroupCentred(),
    "rloo": LeaveOneOut(),
    "reinforce_pp": BatchNormalised(),
    "reinforce_pp_baseline": GroupCentredBatchNormalised(),
}
