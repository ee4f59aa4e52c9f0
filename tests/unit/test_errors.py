"""Errors survive the way from an actor to the driver, with every fact."""

import copy
import pickle

import pytest

from vlaa_ray import errors
from vlaa_ray.errors import ConfigError, LearnerError, RolloutError, RunInterrupted, VlaaRayError

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VlaaRayError)]


def make(kind: type[VlaaRayError]) -> VlaaRayError:
    facts = {"signal": 15} if kind is RunInterrupted else {}
    return kind("it broke", fix="mend it", file="a.json", row=3, got=[1, None], **facts)


def test_the_tree_of_the_docstring_is_the_tree_of_the_module() -> None:
    drawn = {
        line.split()[0]
        for line in errors.__doc__.replace("├──", "").replace("└──", "").replace("│", "").splitlines()
        if line.startswith("    ")
    }
    assert drawn == {kind.__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[VlaaRayError], protocol: int) -> None:
    error = make(kind)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (again.message, again.fix, again.facts) == (error.message, error.fix, error.facts)
    assert (str(again), again.exit_code) == (str(error), error.exit_code)
    assert copy.copy(again).as_dict() == error.as_dict()


def test_a_message_says_what_where_and_what_to_do() -> None:
    error = LearnerError("rank 1 died", fix="see learner_1.log", rank=1, phase="backward")
    assert str(error) == "rank 1 died (rank=1, phase='backward'). Fix: see learner_1.log"
    assert str(LearnerError("rank 1 died")) == "rank 1 died"
    assert error.as_dict() == {
        "type": "LearnerError",
        "message": "rank 1 died",
        "fix": "see learner_1.log",
        "rank": 1,
        "phase": "backward",
    }


def test_exit_codes() -> None:
    assert (RolloutError("x").exit_code, ConfigError("x").exit_code) == (1, 2)
    assert (RunInterrupted("x", signal=2).exit_code, RunInterrupted("x", signal=15).exit_code) == (130, 143)


def test_a_cause_stays_beside_it() -> None:
    with pytest.raises(RolloutError) as caught:
        try:
            raise OSError("gone")
        except OSError as error:
            raise RolloutError("sampling failed") from error
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("got", "line"), [(7, "too long (7)"), (0, "too long (0)"), ("", "too long"), (None, "too long")]
)
def test_one_line_is_the_message_and_the_value_that_was_found(got, line) -> None:
    assert RolloutError("too long", fix="shorten it", file="a.json", got=got).one_line() == line
    assert RolloutError("too long").one_line() == "too long"
