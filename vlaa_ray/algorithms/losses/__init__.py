"""The registries of policy losses (`grpo.loss`) and of the ways to average over tokens (`grpo.aggregation`).

To add a loss, write a file in this folder, add a line here, and add its name to `config.grpo.LossName`.
"""

from vlaa_ray.algorithms.losses.aggregation import (
    Aggregation,
    StepCounts,
    constant_length_mean,
    sequence_mean,
    token_mean,
    token_weights,
)
from vlaa_ray.algorithms.losses.base import LossResult, PolicyLoss, PolicyTerm, truncated_importance_weights
from vlaa_ray.algorithms.losses.clipped_ratio import ClippedRatio
from vlaa_ray.algorithms.losses.clipped_sequence_ratio import ClippedSequenceRatio
from vlaa_ray.algorithms.losses.clipped_weight import ClippedWeight
from vlaa_ray.algorithms.losses.soft_gate import SoftGate
from vlaa_ray.algorithms.losses.supervised import sft_loss
from vlaa_ray.config.grpo import AggregationName, LossName

__all__ = [
    "AGGREGATIONS",
    "LOSSES",
    "LossResult",
    "PolicyLoss",
    "PolicyTerm",
    "StepCounts",
    "sft_loss",
    "token_weights",
    "truncated_importance_weights",
]

LOSSES: dict[LossName, type[PolicyLoss]] = {
    "clipped": ClippedRatio,
    "gspo": ClippedSequenceRatio,
    "cispo": ClippedWeight,
    "sapo": SoftGate,
}

AGGREGATIONS: dict[AggregationName, Aggregation] = {
    "grpo": sequence_mean,
    "dapo": token_mean,
    "dr_grpo": constant_length_mean,
}
