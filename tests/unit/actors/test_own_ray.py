"""The start of a Ray of our own on a machine that is too busy for Ray's own deadline."""

import os
import subprocess

import psutil
import pytest
import ray

from actors.process import own_ray
from vlaa_ray.errors import PlacementError

SLOW = Exception("The current node timed out during startup. This could happen because …")


@pytest.fixture
def started(monkeypatch):
    """(calls, faults, asked): each `ray.init` leaves a process behind, and fails with the next of the faults if any.

    `asked` has the dashboard that the processes of each Ray would ask.
    """
    calls: list[subprocess.Popen] = []
    faults: list[Exception | None] = []
    asked: list[str | None] = []

    def init(**_options):
        asked.append(os.environ.get("RAY_API_SERVER_ADDRESS"))
        calls.append(subprocess.Popen(["sleep", "60"]))
        if fault := faults.pop(0):
            raise fault

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(own_ray, "start_reaper", lambda: None)
    yield calls, faults, asked
    for process in calls:
        process.kill()
        process.wait(10)


def test_a_slow_start_is_tried_again_without_what_it_left(started):
    calls, faults, _ = started
    faults += [SLOW, None]
    own_ray.start_own_ray()
    assert len(calls) == 2 and calls[0].wait(10) == -9 and psutil.pid_exists(calls[1].pid)


def test_two_slow_starts_are_one_typed_error(started):
    calls, faults, _ = started
    faults += [SLOW, SLOW]
    with pytest.raises(PlacementError, match="Ray did not start on this machine"):
        own_ray.start_own_ray()
    assert [process.wait(10) for process in calls] == [-9, -9]


def test_any_other_fault_is_raised_at_once(started):
    calls, faults, _ = started
    faults += [ValueError("no such option")]
    with pytest.raises(ValueError, match="no such option"):
        own_ray.start_own_ray()
    assert len(calls) == 1


@pytest.mark.parametrize("before", [None, "http://10.0.0.9:8265"])
def test_a_ray_without_a_dashboard_asks_no_other_and_the_driver_is_left_as_it_was(started, monkeypatch, before):
    _, faults, asked = started
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    if before:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", before)
    faults += [None, None]
    own_ray.start_own_ray(include_dashboard=False)
    own_ray.start_own_ray()
    assert asked == ["http://127.0.0.1:1", before]
    assert os.environ.get("RAY_API_SERVER_ADDRESS") == before
