"""The books of samples: one end each, and never weights that must not be used."""

import numpy as np
import pytest

from vlaa_ray.config import GrpoSection
from vlaa_ray.elastic.ledger import Ledger
from vlaa_ray.errors import LedgerError, WeightSyncError
from vlaa_ray.records import Completion, Group, Prompt, RewardResult, Rollout


def rollout(value=1.0, advantage=0.5, *, valid=True, length=2, versions=((3, 0, 2),), finish_reason="stop"):
    completion = Completion(
        text="",
        token_ids=np.zeros(length, dtype=np.int32),
        rollout_logprobs=np.zeros(length, dtype=np.float32),
        weight_versions=versions,
        finish_reason=finish_reason,
    )
    reward = RewardResult(value=value if valid else None, valid=valid)
    return Rollout(completion=completion, reward=reward, advantage=advantage)


def group(position, *rollouts, failure=None):
    prompt = Prompt(prompt_id=f"p{position}", question="", gold=1, verifier_type="digit", source="")
    return Group(prompt=prompt, position=position, rollouts=rollouts, failure=failure)


def ledger_with(count, first=0, **grpo):
    ledger = Ledger(GrpoSection.model_validate(grpo), group_size=2)
    for position in range(first, first + count):
        ledger.open(position, f"p{position}")
    return ledger


BOUNDS = {"newest": 3, "oldest": 2}


def test_every_sample_has_one_end_with_its_reason():
    ledger = ledger_with(6)
    flat = group(1, rollout(1.0, None), rollout(1.0, None))
    unjudged = group(2, rollout(valid=False, advantage=None), rollout(0.5, 0.0))
    cut = group(3, rollout(0.0, None, finish_reason="length"), rollout(1.0, 1.0))
    empty = group(4, rollout(0.0, -1.0, length=0, versions=()), rollout(1.0, 1.0))
    taken = [group(0, failure="too long"), flat, unjudged, cut, empty]
    assert ledger.close(taken, **BOUNDS) == {
        "ledger/trained": 3,
        "ledger/open": 2,
        "ledger/dropped/failed": 2,
        "ledger/dropped/no_variance": 2,
        "ledger/dropped/not_judged": 1,
        "ledger/dropped/overlong": 1,
        "ledger/dropped/empty": 1,
    }
    assert ledger.end() == {
        "trained": 3,
        "failed": 2,
        "no_variance": 2,
        "not_judged": 1,
        "overlong": 1,
        "empty": 1,
        "run_ended": 2,
    }
    assert ledger.num_open == 0


def test_the_ends_are_those_of_the_step_alone():
    ledger = ledger_with(2)
    ledger.close([group(0, rollout(0.0), rollout())], **BOUNDS)
    assert ledger.close([group(1, rollout(0.0), rollout())], **BOUNDS) == {"ledger/trained": 2, "ledger/open": 0}


def test_groups_that_were_replaced_are_dropped_as_such():
    ledger = ledger_with(1, resample_zero_variance=True)
    metrics = ledger.close([group(0, rollout(1.0, None), rollout(1.0, None))], **BOUNDS)
    assert metrics["ledger/dropped/resampled"] == 2


def test_a_resumed_run_begins_at_its_position():
    ledger = ledger_with(2, first=40)
    assert ledger.close([group(40, rollout(0.0), rollout())], **BOUNDS)["ledger/trained"] == 2


def test_a_group_that_ends_twice_or_was_not_asked_for_is_an_error():
    ledger = ledger_with(2)
    ledger.close([group(0, rollout(0.0), rollout())], **BOUNDS)
    with pytest.raises(LedgerError, match="was not open"):
        ledger.close([group(0, rollout(0.0), rollout())], **BOUNDS)
    with pytest.raises(LedgerError, match="was not open"):
        ledger.close([group(7, rollout(0.0), rollout())], **BOUNDS)


def test_a_group_that_is_passed_over_is_an_error():
    ledger = ledger_with(3)
    ledger.close([group(0, rollout(0.0), rollout())], **BOUNDS)
    with pytest.raises(LedgerError, match="out of order"):
        ledger.close([group(2, rollout(0.0), rollout())], **BOUNDS)


def test_a_group_that_is_asked_for_twice_is_an_error():
    ledger = ledger_with(2)
    with pytest.raises(LedgerError, match="asked for out of order"):
        ledger.open(1, "p1")


def test_a_group_with_a_sample_too_few_is_an_error():
    with pytest.raises(LedgerError, match="without all of its samples"):
        ledger_with(1).close([group(0, rollout())], **BOUNDS)


@pytest.mark.parametrize("versions", [((1, 0, 2),), ((4, 0, 2),), ((3, 0, 1), (1, 1, 2))])
def test_weights_that_are_too_old_or_unknown_are_an_error(versions):
    with pytest.raises(WeightSyncError, match="must not be used"):
        ledger_with(1).close([group(0, rollout(versions=versions), rollout())], **BOUNDS)


def test_a_completion_over_two_versions_within_the_bounds_is_trained():
    ledger = ledger_with(1)
    ended = ledger.close([group(0, rollout(0.0, versions=((2, 0, 1), (3, 1, 2))), rollout())], **BOUNDS)
    assert ended["ledger/trained"] == 2
