"""A pool on fake handles: who is called, who is replaced, and how it ends."""

import asyncio

import pytest
from handles import Handle
from ray.exceptions import ActorDiedError

from actors.fleet import pool as pool_module
from actors.fleet.pool import Pool, PoolSettings
from vlaa_ray.errors import DataError, DeadlineExceeded, RewardError, RolloutError, RolloutFleetExhausted
from vlaa_ray.planning.failures import LossBudget


class World:
    """A pool whose actors are made from `scripts`: one dict of answers each, in the order of spawning."""

    def __init__(self, *scripts, size=1, max_restarts=2, role="rollout", max_calls_in_flight=8):
        self._scripts = list(scripts)
        self.handles, self.notes = [], []
        settings = PoolSettings(
            role=role,
            size=size,
            budget=LossBudget(max_restarts, 600),
            start_s=5,
            max_calls_in_flight=max_calls_in_flight,
        )
        self.pool = Pool(settings, self.spawn, self.notes.append)

    def spawn(self, index):
        script = self._scripts.pop(0) if self._scripts else {"work": ["ok"]}
        self.handles.append(Handle(f"{index}/{len(self.handles)}", **script))
        return self.handles[-1]

    async def call(self, timeout_s=5.0):
        return await self.pool.call(lambda actor: actor.work.remote(), timeout_s, "work")


DIED = ActorDiedError()


async def test_a_call_goes_to_the_least_busy_replica(killed) -> None:
    async def slow():
        await asyncio.sleep(0.01)
        return "ok"

    world = World({"work": [slow]}, {"work": [slow]}, size=2)
    assert await asyncio.gather(*(world.call() for _ in range(6))) == ["ok"] * 6
    assert [len(handle.called()) for handle in world.handles] == [3, 3]


async def test_many_calls_are_shared_evenly_and_a_busy_replica_gets_fewer(killed) -> None:
    """64 replicas; the first one never answers, so that it keeps its calls while the others finish theirs."""
    never = asyncio.Event()
    world = World({"work": [never.wait]}, *({"work": ["ok"]} for _ in range(63)), size=64)
    calls = [asyncio.create_task(world.call()) for _ in range(64 * 5)]
    await asyncio.sleep(0.1)
    assert [len(handle.called()) for handle in world.handles] == [5] * 64
    assert [replica.num_calls for replica in world.pool.replicas] == [5] + [0] * 63
    for _ in range(20):  # one after another: the idle ones come before the busy one
        await world.call()
    assert len(world.handles[0].called()) == 5
    never.set()
    await asyncio.gather(*calls)
    assert all(replica.num_calls == 0 for replica in world.pool.replicas)


async def test_a_replica_that_is_being_replaced_gets_calls_only_if_there_is_no_other(killed) -> None:
    world = World({"work": ["first"]}, {"work": ["second"]}, size=2)
    first, second = world.pool.replicas
    second.num_calls = 3
    async with first.lock:
        assert await world.call() == "second"
        async with second.lock:
            assert await world.call() == "first"
    assert await world.call() == "first"


@pytest.mark.parametrize("failure", [DIED, RolloutError("the engine died"), DeadlineExceeded("no answer")])
async def test_a_lost_actor_is_replaced_and_the_call_made_again(killed, failure) -> None:
    world = World({"work": [failure]}, {"work": ["second"]})
    assert await world.call() == "second"
    assert killed == [world.handles[0]] and world.pool.restarts == 1
    assert world.handles[1].called() == ["start", "work"]
    assert "is lost and replaced" in world.notes[0]


async def test_an_error_of_the_input_is_the_callers(killed) -> None:
    world = World({"work": [DataError("too long"), "ok"]})
    with pytest.raises(DataError):
        await world.call()
    assert await world.call() == "ok" and not killed and world.pool.restarts == 0


async def test_an_actor_that_hangs_is_late_and_replaced(killed, monkeypatch) -> None:
    async def hangs():
        await asyncio.sleep(60)

    monkeypatch.setattr(pool_module, "GRACE_S", 0.0)
    world = World({"work": [hangs]}, {"work": ["second"]})
    assert await world.call(timeout_s=0.05) == "second"


async def test_a_replacement_is_prepared_before_it_serves(killed) -> None:
    world = World({"work": [DIED]}, {"work": ["second"]})
    prepared = []

    async def prepare(actor):
        assert actor.called() == ["start"]
        prepared.append(actor)

    world.pool.prepare = prepare
    assert await world.call() == "second" and prepared == [world.handles[1]]


async def test_many_callers_of_one_lost_actor_cost_one_restart(killed) -> None:
    world = World({"work": [DIED]}, {"work": ["second"]})
    assert await asyncio.gather(*(world.call() for _ in range(5))) == ["second"] * 5
    assert world.pool.restarts == 1 and len(killed) == 1


async def test_a_replacement_that_dies_while_it_starts_is_replaced_too(killed) -> None:
    world = World({"work": [DIED]}, {"start": [DIED]}, {"work": ["third"]})
    assert await world.call() == "third"
    assert world.pool.restarts == 2 and killed == world.handles[:2]


async def test_a_bug_in_a_replacement_is_raised(killed) -> None:
    world = World({"work": [DIED]}, {"start": [ValueError("a bug")]})
    with pytest.raises(ValueError, match="a bug"):
        await world.call()
    assert killed == world.handles


async def test_without_restarts_the_others_go_on(killed) -> None:
    world = World({"work": [DIED]}, {"work": ["other"]}, size=2, max_restarts=0)
    assert await world.call() == "other" and await world.call() == "other"
    assert len(world.pool.replicas) == 1 and "is lost for good" in world.notes[0]


@pytest.mark.parametrize(("role", "error"), [("rollout", RolloutFleetExhausted), ("reward", RewardError)])
async def test_the_last_loss_ends_the_run_with_its_cause(killed, role, error) -> None:
    world = World({"work": [DIED]}, {"work": [DIED]}, max_restarts=1, role=role)
    with pytest.raises(error, match="no more may be replaced") as caught:
        await world.call()
    assert caught.value.facts["restarts"] == 1 and caught.value.facts["last"]
    with pytest.raises(error, match="all actors were lost before"):
        await world.call()


async def test_a_pool_that_can_not_start_says_why(killed) -> None:
    world = World({"start": [DIED]})
    with pytest.raises(RolloutFleetExhausted, match="died while it started"):
        await world.pool.start()


async def test_a_replica_has_at_most_so_many_calls_in_flight(killed) -> None:
    running = peak = 0

    async def counted():
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1
        return "ok"

    world = World({"work": [counted]}, max_calls_in_flight=2)
    await asyncio.gather(*(world.call() for _ in range(9)))
    assert peak == 2


async def test_memory_is_that_of_the_largest_replica_that_answers(killed) -> None:
    world = World({"rss_bytes": [100]}, {"rss_bytes": [300]}, {"rss_bytes": [DIED]}, size=3)
    assert await world.pool.max_rss_bytes() == 300
