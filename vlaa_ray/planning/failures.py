"""The decisions about failures: these functions return what to do, and pools and ranks do it.

For example:

    after_replica_failure(error, process_died=True, losses=losses, budget=LossBudget(3, 1800), now_s=60, num_others=2)
    -> Action.REPLACE

Budgets are rates: a number of losses within a time. A loss that was announced (a drained node, a preempted actor) is
nobody's fault and does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


_SAME_LOSS_S = 30.0
"""Losses on one node within this time have one cause: the node."""
_MOST_FAILED_STARTS = 2
"""Starts that may fail on a node, one after another, before it is avoided."""


class Action(Enum):
    """The action after a failure."""

    RAISE = auto()
    """Pass the error on: the caller or the input is at fault, and the actor can be used again."""
    REPLACE = auto()
    """Start a new actor in place of this one, send it the current weights, and make the call again."""
    POSTPONE = auto()
    """Continue with the other actors; replace this one when the budget has room again."""
    RESTART = auto()
    """Start the learner's ranks again from the newest checkpoint."""
    SAVE = auto()
    """Save a checkpoint, so that a restart of the learner's ranks repeats no step."""
    GO_ON = auto()
    """Change nothing for now."""
    STOP = auto()
    """End the run; it can be continued from its last checkpoint."""


@dataclass(frozen=True)
class LossBudget:
    """The number of losses that are made good within `window_s` seconds."""

    max_restarts: int
    window_s: float


@dataclass(frozen=True)
class Losses:
    """The losses of a role so far; times are seconds of one clock, and a node is "" where it is not known."""

    counted: tuple[tuple[float, str], ...] = ()
    """The time and the node of each loss that counts."""
    failed_starts: tuple[tuple[float, str], ...] = ()
    """The time and the node of each start that failed since the last one that succeeded there."""

    def with_loss(self, now_s: float, node: str, asked_s: float) -> Losses:
        """Return the losses with one more, of an actor that was asked for at `asked_s`.

        Actors that were there together and are lost with their node at about the same time count once.
        """
        for time_s, other in self.counted:
            if node and other == node and asked_s <= time_s and now_s - time_s < _SAME_LOSS_S:
                return self
        return replace(self, counted=(*self.counted, (now_s, node)))

    def with_unplaced_loss(self, now_s: float) -> Losses:
        """Return the losses with one more, of an actor that ended before it could say where it was.

        Soon after another loss it does not count: Ray sends actors to a dead node until it notices its end.
        """
        if any(now_s - time_s < _SAME_LOSS_S for time_s, _ in self.counted):
            return self
        return replace(self, counted=(*self.counted, (now_s, "")))

    def with_failed_start(self, now_s: float, node: str) -> Losses:
        """Return the losses after a start that failed on this node."""
        return replace(self, failed_starts=(*self.failed_starts, (now_s, node)))

    def with_start(self, node: str) -> Losses:
        """Return the losses after a start that succeeded on this node."""
        return replace(self, failed_starts=tuple(start for start in self.failed_starts if start[1] != node))

    def num_counted(self, budget: LossBudget, now_s: float) -> int:
        """Return the number of losses within the window of the budget."""
        return sum(now_s - time_s < budget.window_s for time_s, _ in self.counted)

    def has_room(self, budget: LossBudget, now_s: float) -> bool:
        """Return True if all losses of the window may be made good."""
        return self.num_counted(budget, now_s) <= budget.max_restarts

    def room_in_s(self, budget: LossBudget, now_s: float) -> float:
        """Return the seconds until enough losses are older than the window; 0 if there is room now."""
        times = sorted(time_s for time_s, _ in self.counted if now_s - time_s < budget.window_s)
        excess = len(times) - budget.max_restarts
        return max(0.01, times[excess - 1] + budget.window_s - now_s) if excess > 0 else 0.0

    def avoided(self, budget: LossBudget, now_s: float) -> tuple[str, ...]:
        """Return the nodes on which starts have failed again and again within the window; no actor should go there."""
        recent = [node for time_s, node in self.failed_starts if node and now_s - time_s < budget.window_s]
        return tuple(sorted({node for node in recent if recent.count(node) >= _MOST_FAILED_STARTS}))


def is_lost(error: BaseException, *, process_died: bool) -> bool:
    """Return True if the actor can't be used again after this error; `process_died` if Ray found its process dead."""
    return process_died or isinstance(error, _UNUSABLE)


def loss_cause(error: BaseException, *, process_died: bool, is_announced: bool) -> str:
    """Return why an actor was lost, as one word of a metric: announced, died, hung or failed."""
    if is_announced:
        return "announced"
    if process_died:
        return "died"
    return "hung" if isinstance(error, DeadlineExceeded) else "failed"


def after_replica_failure(
    error: BaseException, *, process_died: bool, losses: Losses, budget: LossBudget, now_s: float, num_others: int
) -> Action:
    """Return the action of a pool after a failed call to one of its actors.

    `losses` holds those of the pool, this one included if it counts. `num_others` is the number of actors that the
    pool has beside this one.
    """
    if not is_lost(error, process_died=process_died):
        return Action.RAISE
    if losses.has_room(budget, now_s):
        return Action.REPLACE
    return Action.POSTPONE if num_others else Action.STOP


def is_rank_lost(error: BaseException, *, process_died: bool) -> bool:
    """Return True if a call failed so that the ranks are no longer at the same point: their collectives would hang.

    An error that all ranks raise together does not count: the caller made it.
    """
    return process_died or (isinstance(error, VlaaRayError) and not isinstance(error, _SAID_BY_A_RANK))


def after_rank_loss(losses: Losses, budget: LossBudget, now_s: float) -> Action:
    """Return the action of the learner after the loss of a rank; `losses` holds it if it counts."""
    return Action.RESTART if losses.has_room(budget, now_s) else Action.STOP


def with_fewer_ranks(num_ranks: int, wanted: int, *, has_room: bool, version: int, saved_version: int) -> Action:
    """Return the action of a learner that runs on `num_ranks` of the `wanted` ranks.

    `has_room` says whether the cluster has room for the missing ones. `version` is that of the current weights, and
    `saved_version` that of the newest checkpoint, 0 without one. More ranks mean a restart of all, so it waits for a
    checkpoint of the current weights: then no step is repeated.
    """
    if num_ranks >= wanted or not has_room:
        return Action.GO_ON
    return Action.RESTART if saved_version == version else Action.SAVE
