"""The early end of a run: by hand, and across a resume."""

import pytest

from vlaa_ray.algorithms.early_stopping import EarlyStopping

SETTINGS = {"patience": 2, "min_delta": 0.1}


def seen(losses, settings=SETTINGS):
    """The evaluation, from 1, after which the run is over; None if it goes on."""
    stopping = EarlyStopping(settings)
    for number, loss in enumerate(losses, start=1):
        stopping.observe(number, loss)
        if stopping.is_over:
            return number
    return None


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([2.0, 1.5, 1.45, 1.41], 4),  # neither is below 1.5 - 0.1
        ([2.0, 1.5, 1.45, 1.39, 1.35, 1.30], 6),  # 1.39 is; the next ones are not below 1.29
        ([2.0, 2.1, 1.8, 1.9, 1.6, 1.7, 1.4], None),  # never two in a row
        ([2.0, None, None, None, 2.0], None),  # nothing was measured
        ([float("nan"), 1.0, float("nan"), float("inf")], 4),
        ([1.0, 1.0 - 0.1, 1.0], 3),  # exactly the difference is not enough
    ],
)
def test_by_hand(losses, end):
    assert seen(losses) == end


def test_without_settings_a_run_is_never_over():
    assert seen([1.0] * 50, None) is None


def test_a_resumed_run_ends_where_the_undisturbed_one_does():
    losses = [2.0, 1.5, 1.45, 1.39, 1.35, 1.30, 1.2]
    for cut in range(1, 6):
        first = EarlyStopping(SETTINGS)
        for step, loss in enumerate(losses[:cut], start=1):
            first.observe(step, loss)
        resumed = EarlyStopping(SETTINGS, first.state())
        steps = list(enumerate(losses, start=1))[cut:]
        end = next(step for step, loss in steps if (resumed.observe(step, loss), resumed.is_over)[1])
        assert end == 6
        assert (resumed.lowest, resumed.lowest_step, resumed.num_waited) == (1.39, 4, 2)
    assert resumed.reason() == "the held-out loss was not lower in 2 evaluations; it was lowest at step 4: 1.39"


def test_a_checkpoint_of_an_older_version_has_seen_nothing():
    assert EarlyStopping(SETTINGS, {}).state() == EarlyStopping(SETTINGS).state()
