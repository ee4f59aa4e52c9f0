"""The rules of `placement`: where the engines and the learner ranks run, and how they divide CPUs that they share."""

from __future__ import annotations

from typing import Literal

from vlaa_ray.config.engines import RolloutSection
from vlaa_ray.config.learner import LearnerSection

PlacementName = Literal["split", "colocated"]


def cpus_in_turn(rollout: RolloutSection, learner: LearnerSection) -> tuple[RolloutSection, LearnerSection]:
    """Return both sections with the CPUs that their processes have under `colocated`.

    The engines together and the ranks together have the same CPUs: those of the role that asks for more.
    """
    cpus = max(rollout.num_actors * rollout.cpus_per_actor, learner.num_ranks * learner.cpus_per_rank)
    return (
        rollout.model_copy(update={"cpus_per_actor": cpus / rollout.num_actors}),
        learner.model_copy(update={"cpus_per_rank": cpus / learner.num_ranks}),
    )


def colocation_faults(
    rollout: RolloutSection, learner: LearnerSection, *, max_staleness: int, transport: str
) -> list[str]:
    """Return why these settings can't be used with `placement: colocated`; an empty list if they can."""
    key, faults = "placement 'colocated'", []
    if max_staleness:
        faults.append(
            f"{key} needs max_staleness 0 (got {max_staleness}): the next step can't be sampled while the learner has "
            "the devices"
        )
    if rollout.is_elastic or rollout.nodes.prefer:
        faults.append(
            f"{key} needs as many engines as it began with: leave out rollout.min, rollout.max, rollout.nodes"
        )
    if transport == "nccl":
        faults.append(
            f"{key} needs weight_sync.transport 'shared_memory': NCCL allows no two processes of a group on one GPU"
        )
    if not (rollout.gpus_per_actor or learner.gpus_per_rank):
        return faults
    if rollout.gpus_per_actor != 1 or learner.gpus_per_rank != 1:
        faults.append(
            f"{key} needs rollout.gpus_per_actor and learner.gpus_per_rank of 1, or of 0 for the CPU (got "
            f"{rollout.gpus_per_actor:g} and {learner.gpus_per_rank}): a GPU holds one engine and one rank in turn"
        )
    if rollout.num_actors != learner.num_ranks:
        faults.append(
            f"{key} needs as many engines as ranks on GPUs (got rollout.num_actors {rollout.num_actors} and "
            f"learner.num_ranks {learner.num_ranks}): a GPU holds one engine and one rank in turn"
        )
    return faults


def transport_faults(rollout: RolloutSection, learner: LearnerSection, transport: str) -> list[str]:
    """Return why the weights can't travel by this transport; an empty list if they can."""
    if transport != "nccl":
        return []
    faults = []
    if not (rollout.gpus_per_actor and learner.gpus_per_rank):
        faults.append(
            "weight_sync.transport 'nccl' needs rollout.gpus_per_actor and learner.gpus_per_rank of 1 or more"
        )
    if rollout.is_elastic:
        faults.append(
            "engines that come and go (rollout.min, rollout.max, rollout.nodes.prefer spot) need "
            "weight_sync.transport 'shared_memory': the loss of an engine would break a broadcast over NCCL"
        )
    return faults
