"""The start of a Ray of our own on a machine that is too busy for Ray's own deadline."""

import subprocess

import psutil
import pytest
import ray

from actors.process import own_ray
from vlaa_ray.errors import PlacementError

SLOW = Exception("The current node timed out during startup. This could happen because …")


@pytest.fixture
def started(monkeypatch):
    """The calls of `ray.init`; each leaves a process behind and fails with the next error of `faults`."""
    calls: list[subprocess.Popen] = []
    faults: list[Exception | None] = []

    def init(**_options):
        calls.append(subprocess.Popen(["sleep", "60"]))
        if fault := faults.pop(0):
            raise fault

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(own_ray, "start_reaper", lambda: None)
    yield calls, faults
    for process in calls:
        process.kill()
        process.wait(10)


def test_a_slow_start_is_tried_again_without_what_it_left(started):
    calls, faults = started
    faults += [SLOW, None]
    own_ray.start_own_ray()
    assert len(calls) == 2 and calls[0].wait(10) == -9 and psutil.pid_exists(calls[1].pid)


def test_two_slow_starts_are_one_typed_error(started):
    calls, faults = started
    faults += [SLOW, SLOW]
    with pytest.raises(PlacementError, match="Ray did not start on this machine"):
        own_ray.start_own_ray()
    assert [process.wait(10) for process in calls] == [-9, -9]


def test_any_other_fault_is_raised_at_once(started):
    calls, faults = started
    faults += [ValueError("no such option")]
    with pytest.raises(ValueError, match="no such option"):
        own_ray.start_own_ray()
    assert len(calls) == 1
