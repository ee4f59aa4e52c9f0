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
from vlaa_ray.planning.failures import Action, after_rank_failure, after_replica_failure, is_lost


@pytest.mark.parametrize(
    ("error", "process_died", "restarts", "num_others", "action"),
    [
        (DataError("too long"), False, 0, 0, Action.RAISE),
        (RewardError("unknown verifier"), False, 0, 3, Action.RAISE),
        (ModelError("other tensors"), False, 0, 3, Action.RAISE),
        (ValueError("a bug"), False, 0, 3, Action.RAISE),
        (DeadlineExceeded("no answer"), False, 0, 0, Action.REPLACE),
        (RolloutError("the engine died"), False, 1, 0, Action.REPLACE),
        (WeightSyncError("a mix of weights"), False, 1, 0, Action.REPLACE),
        (ConnectionError("gone"), True, 1, 0, Action.REPLACE),
        (ConnectionError("gone"), True, 2, 1, Action.DROP),
        (DeadlineExceeded("no answer"), False, 2, 0, Action.STOP),
        (DeadlineExceeded("no answer"), False, 5, 0, Action.STOP),
    ],
)
def test_a_pool_replaces_drops_or_stops(error, process_died, restarts, num_others, action) -> None:
    decided = after_replica_failure(
        error, process_died=process_died, restarts=restarts, max_restarts=2, num_others=num_others
    )
    assert decided is action


@pytest.mark.parametrize(
    ("error", "process_died", "action"),
    [
        (CheckpointError("disk full"), False, Action.RAISE),
        (LearnerError("the loss is not finite"), False, Action.RAISE),
        (ModelError("other tensors"), False, Action.RAISE),
        (DeadlineExceeded("no answer"), False, Action.STOP),
        (ConnectionError("gone"), True, Action.STOP),
        (ValueError("a bug"), False, Action.RAISE),
    ],
)
def test_a_lost_rank_stops_the_run(error, process_died, action) -> None:
    assert after_rank_failure(error, process_died=process_died) is action


def test_a_dead_process_is_lost_whatever_it_said() -> None:
    assert is_lost(ValueError("?"), process_died=True) and not is_lost(ValueError("?"), process_died=False)
