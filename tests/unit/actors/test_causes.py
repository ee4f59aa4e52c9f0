"""The typed error below what Ray puts around it."""

import pickle

from ray.exceptions import RayTaskError

from actors.process.causes import first_line, typed_cause
from vlaa_ray.errors import DataError, LearnerError, TeacherError


def wrapped(error):
    return RayTaskError("work", "Traceback …\nDataError: the last line", error).as_instanceof_cause()


def test_the_cause_of_a_remote_error_keeps_its_facts() -> None:
    remote = wrapped(DataError("no image", row=3))
    assert isinstance(remote, DataError)  # it has both types, but only the cause has the facts
    assert typed_cause(remote).facts == {"row": 3}
    assert typed_cause(wrapped(remote)).facts == {"row": 3}


def test_an_error_of_ours_is_its_own_cause() -> None:
    try:
        try:
            raise DataError("below")
        except DataError as below:
            raise TeacherError("above") from below
    except TeacherError as error:
        assert typed_cause(error).message == "above"


def test_the_first_failed_worker_tells() -> None:
    failed = RuntimeError("two workers failed")
    failed.worker_failures = {1: ValueError("torn down"), 0: wrapped(LearnerError("not finite"))}
    assert typed_cause(failed).message == "not finite"


def test_others_have_none() -> None:
    assert typed_cause(ValueError("a bug")) is None and typed_cause(wrapped(ValueError("a bug"))) is None


def test_one_line_of_an_error() -> None:
    assert first_line(ValueError("first\nsecond")) == "first" and first_line(ValueError()) == "ValueError"
    assert first_line(RayTaskError("work", "Traceback …\nValueError: last", ValueError())).endswith("ValueError: last")


def test_typed_errors_survive_the_way() -> None:
    assert pickle.loads(pickle.dumps(DataError("m", fix="f", row=1))).facts == {"row": 1}
