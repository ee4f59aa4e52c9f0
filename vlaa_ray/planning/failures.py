"""The decisions about failures: these functions return what to do, and pools and ranks do it.

For example:

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
"""The errors after which an actor may hang, or its engine may hold weights of two versions: it is not used again."""
_SAID_BY_A_RANK = (CheckpointError, LearnerError, ModelError)
"""The errors that all ranks raise at the same point, and that name their cause."""


class Action(Enum):
    """The action after a failure."""

    RAISE = auto()
    """Pass the error on: the caller or the input is at fault, and the actor can be used again."""
    REPLACE = auto()
    """Start a new actor in place of this one, send it the current weights, and make the call again."""
    DROP = auto()
    """Continue with the other actors."""
    STOP = auto()
    """End the run; it can be continued from its last checkpoint."""


def is_lost(error: BaseException, *, process_died: bool) -> bool:
    """Return True if the actor can't be used again after this error; `process_died` if Ray found its process dead."""
    return process_died or isinstance(error, _UNUSABLE)


def after_replica_failure(
    error: BaseException, *, process_died: bool, restarts: int, max_restarts: int, num_others: int
) -> Action:
    """Return the action of a pool after a failed call to one of its actors.

    `restarts` is the number of actors that the pool has replaced so far; `max_restarts` is its limit. `num_others` is
    the number of actors that the pool has beside this one.
    """
    if not is_lost(error, process_died=process_died):
        return Action.RAISE
    if restarts < max_restarts:
        return Action.REPLACE
    return Action.DROP if num_others else Action.STOP


def after_rank_failure(error: BaseException, *, process_died: bool) -> Action:
    """Return the action of the learner after a failed call to its ranks.

    An error that all ranks raise together is passed on. After any other failure the ranks are no longer at the same
    point, so their collectives would wait for ever: the run ends.
    """
    if isinstance(error, _SAID_BY_A_RANK):
        return Action.RAISE
    return Action.STOP if process_died or isinstance(error, VlaaRayError) else Action.RAISE
