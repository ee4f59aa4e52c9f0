"""Notices of nodes that go: each is passed on once, to those whom it concerns."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from actors.fleet import notices as module
from actors.fleet.notices import Notices


class Pool:
    def __init__(self):
        self.drained = []

    def drain(self, node, leave_s):
        self.drained.append((node, round(leave_s)))


def run_of():
    alarms = []
    return SimpleNamespace(checkpoint_request=asyncio.Event(), alarm=alarms.append, alarms=alarms)


async def watched(source, run, pools=(), needed=dict, polls=4):
    watching = asyncio.create_task(Notices(pools, run, needed, source).watch())
    await asyncio.sleep(polls * 0.02)
    watching.cancel()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "_POLL_S", 0.01)


async def test_pools_leave_a_node_once_with_the_time_that_is_left():
    pools, run = [Pool(), Pool()], run_of()
    in_a_minute = int((time.time() + 60) * 1000)
    await watched(lambda: {"a": in_a_minute, "b": 0}, run, pools)
    assert pools[0].drained == pools[1].drained == [("a", 60), ("b", 30)]
    assert not run.checkpoint_request.is_set() and not run.alarms


async def test_a_node_that_the_run_needs_leads_to_a_checkpoint():
    run = run_of()
    await watched(lambda: {"a": 0}, run, needed=lambda: {"a": "learner"})
    assert run.checkpoint_request.is_set() and "node of the learner goes in 30 s" in run.alarms[0]


async def test_a_source_that_can_not_be_asked_is_reported_once():
    answers = [RuntimeError("no answer")] * 3

    def source():
        if answers:
            raise answers.pop()
        return {"a": 0}

    pool, run = Pool(), run_of()
    await watched(source, run, [pool], polls=8)
    assert len(run.alarms) == 1 and "can't be seen" in run.alarms[0] and pool.drained == [("a", 30)]
