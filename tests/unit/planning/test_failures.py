"""What is done about a failure, as a table."""

import pytest

from vlaa_ray.errors import (
    CheckpointError,
    DataError,
    DeadlineExceeded,
    LearnerError,
    ModelError,
    RewardError,
    RolloutError,
    WeightSyncError,
)
from vlaa_ray.planning.failures import (
    Action,
    LossBudget,
    Losses,
    after_rank_loss,
    after_replica_failure,
    is_lost,
    is_rank_lost,
    loss_cause,
    with_fewer_ranks,
)

BUDGET = LossBudget(max_restarts=2, window_s=600)


def losses_at(*times):
    losses = Losses()
    for time_s in times:
        losses = losses.with_loss(time_s, "", time_s)
    return losses


@pytest.mark.parametrize(
    ("error", "process_died", "times", "num_others", "action"),
    [
        (DataError("too long"), False, [], 0, Action.RAISE),
        (RewardError("unknown verifier"), False, [1], 3, Action.RAISE),
        (ModelError("other tensors"), False, [1], 3, Action.RAISE),
        (ValueError("a bug"), False, [1], 3, Action.RAISE),
        (DeadlineExceeded("no answer"), False, [1], 0, Action.REPLACE),
        (RolloutError("the engine died"), False, [1, 2], 0, Action.REPLACE),
        (WeightSyncError("a mix of weights"), False, [1, 2], 0, Action.REPLACE),
        (ConnectionError("gone"), True, [1, 2], 0, Action.REPLACE),
        (ConnectionError("gone"), True, [1, 2, 3], 1, Action.POSTPONE),
        (DeadlineExceeded("no answer"), False, [1, 2, 3], 0, Action.STOP),
        (DeadlineExceeded("no answer"), False, [-700, -650, 3], 0, Action.REPLACE),  # ten minutes ago: forgotten
    ],
)
def test_a_pool_replaces_postpones_or_stops(error, process_died, times, num_others, action) -> None:
    decided = after_replica_failure(
        error, process_died=process_died, losses=losses_at(*times), budget=BUDGET, now_s=10, num_others=num_others
    )
    assert decided is action


def test_losses_of_actors_that_were_together_on_one_node_count_once() -> None:
    losses = Losses().with_loss(10, "a", 0).with_loss(15, "a", 0)
    assert losses.num_counted(BUDGET, 60) == 1
    assert losses.with_loss(16, "b", 0).num_counted(BUDGET, 60) == 2, "another node"
    assert losses.with_loss(16, "", 0).num_counted(BUDGET, 60) == 2, "a node that is not known"
    assert losses.with_loss(16, "a", 11).num_counted(BUDGET, 60) == 2, "it took the place of the first one"
    assert losses.with_loss(50, "a", 0).num_counted(BUDGET, 60) == 2, "much later"


def test_an_actor_that_ended_without_a_place_counts_only_if_nothing_else_was_lost_just_before() -> None:
    assert Losses().with_unplaced_loss(10).num_counted(BUDGET, 60) == 1
    assert Losses().with_loss(10, "a", 0).with_unplaced_loss(15).num_counted(BUDGET, 60) == 1, "its node was dead"
    assert Losses().with_loss(10, "a", 0).with_unplaced_loss(50).num_counted(BUDGET, 60) == 2, "much later"


def test_a_node_on_which_starts_fail_again_and_again_is_avoided_until_one_succeeds_or_time_has_passed() -> None:
    losses = Losses().with_failed_start(0, "a").with_failed_start(10, "b")
    assert losses.avoided(BUDGET, 20) == ()
    losses = losses.with_failed_start(20, "a")
    assert losses.avoided(BUDGET, 20) == ("a",)
    assert losses.with_start("b").avoided(BUDGET, 20) == ("a",) and losses.with_start("a").avoided(BUDGET, 20) == ()
    assert losses.avoided(BUDGET, 601) == ()


@pytest.mark.parametrize(
    ("error", "process_died", "lost"),
    [
        (CheckpointError("disk full"), False, False),
        (LearnerError("the loss is not finite"), False, False),
        (ModelError("other tensors"), False, False),
        (DeadlineExceeded("no answer"), False, True),
        (ConnectionError("gone"), True, True),
        (ValueError("a bug"), False, False),
    ],
)
def test_what_all_ranks_say_together_is_no_loss(error, process_died, lost) -> None:
    assert is_rank_lost(error, process_died=process_died) is lost


def test_ranks_start_again_as_often_as_the_budget_allows() -> None:
    assert after_rank_loss(losses_at(1, 2), BUDGET, 10) is Action.RESTART
    assert after_rank_loss(losses_at(1, 2, 3), BUDGET, 10) is Action.STOP
    assert after_rank_loss(losses_at(1, 2, 3), BUDGET, 620) is Action.RESTART


def test_a_dead_process_is_lost_whatever_it_said() -> None:
    assert is_lost(ValueError("?"), process_died=True) and not is_lost(ValueError("?"), process_died=False)


@pytest.mark.parametrize(
    ("num_ranks", "has_room", "version", "saved", "action"),
    [
        (2, True, 7, 7, Action.GO_ON),  # all are there
        (1, False, 7, 7, Action.GO_ON),
        (1, True, 7, 6, Action.SAVE),
        (1, True, 7, 7, Action.RESTART),
        (1, True, 0, 0, Action.RESTART),  # nothing is learned yet
    ],
)
def test_fewer_ranks_wait_for_room_and_for_a_checkpoint(num_ranks, has_room, version, saved, action) -> None:
    assert with_fewer_ranks(num_ranks, 2, has_room=has_room, version=version, saved_version=saved) is action


@pytest.mark.parametrize(
    ("error", "process_died", "is_announced", "cause"),
    [
        (DeadlineExceeded("late"), False, True, "announced"),
        (RuntimeError("killed"), True, False, "died"),
        (DeadlineExceeded("late"), False, False, "hung"),
        (WeightSyncError("torn"), False, False, "failed"),
    ],
)
def test_the_cause_of_a_loss_is_one_word(error, process_died, is_announced, cause):
    assert loss_cause(error, process_died=process_died, is_announced=is_announced) == cause
