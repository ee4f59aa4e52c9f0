"""What to do about a failure, decided in one place and returned as a value; pools and ranks carry it out.

after_replica_failure(error, process_died=True, restarts=1, max_restarts=3, num_others=2) -> Action.REPLACE
"""

from __future__ import annotations

from enum import Enum, auto

from vlaa_ray.errors import (
    CheckpointError,
    DeadlineExceeded,
    LearnerError,
    ModelError,
    RolloutError,
    VlaaRayError,
    WeightSyncError,
)

_UNUSABLE = (DeadlineExceeded, RolloutError, WeightSyncError)
"""After these an actor may hang, or its engine may hold weights of two versions: it is not used again."""
_SAID_BY_A_RANK = (CheckpointError, LearnerError, ModelError)
"""All ranks raise these at the same point, and they name their cause."""


class Action(Enum):
    """What is done about a failure."""

    RAISE = auto()
    """Pass the error on: the caller or the input is at fault, and the actor can be used again."""
    REPLACE = auto()
    """Start a new actor in the place of this one, bring it up to date, and make the call again."""
    DROP = auto()
    """Go on with the other actors."""
    STOP = auto()
    """End the run; its last checkpoint can be continued."""


def is_lost(error: BaseException, *, process_died: bool) -> bool:
    """True if the actor can't be used again after this error. `process_died`: Ray found its process dead."""
    return process_died or isinstance(error, _UNUSABLE)


def after_replica_failure(
    error: BaseException, *, process_died: bool, restarts: int, max_restarts: int, num_others: int
) -> Action:
    """What a pool does when a call to one of its actors failed.

    `restarts` counts the actors that the pool has replaced so far, of at most `max_restarts`; `num_others` counts the
    actors that are left beside this one.
    """
    if not is_lost(error, process_died=process_died):
        return Action.RAISE
    if restarts < max_restarts:
        return Action.REPLACE
    return Action.DROP if num_others else Action.STOP


def after_rank_failure(error: BaseException, *, process_died: bool) -> Action:
    """What the learner does when a call to its ranks failed.

    An error that a rank raised by itself is raised as it is. After any other failure the ranks no longer stand at one
    point, and their collectives can't go on: the run ends.
    """
    if isinstance(error, _SAID_BY_A_RANK):
        return Action.RAISE
    return Action.STOP if process_died or isinstance(error, VlaaRayError) else Action.RAISE
