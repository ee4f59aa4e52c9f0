"""How many requests are in flight: by hand, with real threads where it is about waiting."""

import threading
import time

import pytest

from vlaa_ray.services.rate_limits import Pace, Slots


def test_slots_grow_with_success_and_shrink_with_overload(monkeypatch) -> None:
    slots = Slots(20)
    assert slots.limit == 8
    for _ in range(5):
        slots.succeeded()
    assert slots.limit == 13  # one for each success so far
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 10)
    slots.overloaded()
    slots.overloaded()  # of the same moment
    assert slots.limit == 9  # 13 * 0.7
    for _ in range(9):
        slots.succeeded()
    assert slots.limit == 10  # about one for each round of nine
    for _ in range(1000):
        slots.succeeded()
    assert slots.limit == 20
    for step in range(20):
        monkeypatch.setattr(time, "monotonic", lambda step=step: now + 20 + step)
        slots.overloaded()
    assert slots.limit == 1


def test_no_more_hold_a_slot_than_there_are() -> None:
    slots, held, most = Slots(3), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal held, most
        with slots.hold():
            with lock:
                held += 1
                most = max(most, held)
            time.sleep(0.01)
            with lock:
                held -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 3 and held == 0


def test_pace_spreads_amounts_evenly(monkeypatch) -> None:
    class Clock(threading.Event):
        def wait(self, timeout=None):
            slept.append(timeout)

    now, slept, clock = [100.0], [], Clock()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = Pace(60)  # one a second
    pace.wait(clock)
    pace.wait(clock, 3)
    pace.wait(clock)
    assert slept == pytest.approx([0, 1, 4])  # the third starts when those three seconds are over
    now[0] = 200.0
    pace.wait(clock)
    assert slept[-1] == 0
    Pace(None).wait(clock, 10**9)
    assert len(slept) == 4


def test_what_is_stopped_waits_no_longer() -> None:
    pace, stopped = Pace(1), threading.Event()
    pace.wait(stopped)
    stopped.set()
    start = time.monotonic()
    pace.wait(stopped)
    assert time.monotonic() - start < 30  # of 60 s
