"""A pool on fake handles: who is called, who is replaced, and how it ends."""

import asyncio

import pytest
from handles import Handle
from ray.exceptions import ActorDiedError

from actors.fleet import pool as pool_module
from actors.fleet.pool import Pool
from actors.fleet.pool_settings import PoolSettings
from vlaa_ray.errors import (
    DataError,
    DeadlineExceeded,
    PlacementError,
    RewardError,
    RolloutError,
    RolloutFleetExhausted,
)
from vlaa_ray.planning.failures import LossBudget


class World:
    """A pool whose actors are made from `scripts`: one dict of answers each, in the order of spawning."""

    def __init__(self, *scripts, size=1, smallest=None, max_restarts=2, role="rollout", **settings):
        self._scripts = list(scripts)
        self.handles, self.notes, self.avoided = [], [], []
        values = {
            "role": role,
            "smallest": size if smallest is None else smallest,
            "first": size,
            "budget": LossBudget(max_restarts, 600),
            "provision_s": 5,
            "start_s": 5,
            "give_up_s": 0.2,
            "call_s": 5,
            "max_calls_in_flight": 8,
        }
        self.pool = Pool(PoolSettings(**(values | settings)), self.spawn, self.notes.append)

    @classmethod
    async def started(cls, *scripts, **settings):
        world = cls(*scripts, **settings)
        await world.pool.start()
        return world

    def spawn(self, index, avoided):
        script = self._scripts.pop(0) if self._scripts else {"work": ["ok"]}
        self.handles.append(Handle(f"{index}/{len(self.handles)}", **{"node_id": [f"node {index}"], **script}))
        self.avoided.append(avoided)
        return self.handles[-1]

    async def call(self, timeout_s=5.0):
        return await self.pool.call(lambda actor: actor.work.remote(), timeout_s, "work")

    def worked(self):
        return [handle.called().count("work") for handle in self.handles]


async def until(reached):
    async with asyncio.timeout(5):
        while not reached():
            await asyncio.sleep(0)


DIED = ActorDiedError()


async def test_a_call_goes_to_the_least_busy_replica(killed) -> None:
    async def slow():
        await asyncio.sleep(0.01)
        return "ok"

    world = await World.started({"work": [slow]}, {"work": [slow]}, size=2)
    assert await asyncio.gather(*(world.call() for _ in range(6))) == ["ok"] * 6
    assert world.worked() == [3, 3]


async def test_many_calls_are_shared_evenly_and_a_busy_replica_gets_fewer(killed) -> None:
    """64 replicas; the first one never answers, so that it keeps its calls while the others finish theirs."""
    never = asyncio.Event()
    world = await World.started({"work": [never.wait]}, *({"work": ["ok"]} for _ in range(63)), size=64)
    calls = [asyncio.create_task(world.call()) for _ in range(64 * 5)]
    await asyncio.sleep(0.1)
    assert world.worked() == [5] * 64
    assert sorted(replica.num_calls for replica in world.pool.replicas) == [0] * 63 + [5]
    for _ in range(20):  # one after another: the idle ones come before the busy one
        await world.call()
    assert world.worked()[0] == 5
    never.set()
    await asyncio.gather(*calls)
    assert all(replica.num_calls == 0 for replica in world.pool.replicas)


@pytest.mark.parametrize("failure", [DIED, RolloutError("the engine died"), DeadlineExceeded("no answer")])
async def test_a_lost_actor_is_replaced_and_the_call_made_again(killed, failure) -> None:
    world = await World.started({"work": [failure]}, {"work": ["second"]})
    assert await world.call() == "second"
    assert killed == [world.handles[0]] and world.pool.restarts == 1
    assert world.handles[1].called() == ["node_id", "start", "work"]
    assert "is lost and replaced" in world.notes[0]


async def test_while_a_lost_actor_is_replaced_the_others_are_asked(killed) -> None:
    never = asyncio.Event()
    world = await World.started({"work": [DIED]}, {"work": ["other"]}, {"start": [never.wait]}, size=2)
    assert await world.call() == "other" and await world.call() == "other"
    assert world.pool.restarts == 1 and len(world.pool.replicas) == 1
    await world.pool.close()


async def test_an_error_of_the_input_is_the_callers(killed) -> None:
    world = await World.started({"work": [DataError("too long"), "ok"]})
    with pytest.raises(DataError):
        await world.call()
    assert await world.call() == "ok" and not killed and world.pool.restarts == 0


async def test_an_actor_that_hangs_is_late_and_replaced(killed, monkeypatch) -> None:
    async def hangs():
        await asyncio.sleep(60)

    monkeypatch.setattr(pool_module, "GRACE_S", 0.0)
    world = await World.started({"work": [hangs]}, {"work": ["second"]})
    assert await world.call(timeout_s=0.05) == "second"


async def test_a_newcomer_is_prepared_before_it_serves(killed) -> None:
    world = await World.started({"work": [DIED]}, {"work": ["second"]})
    prepared = []

    async def prepare(actor, admit):
        assert actor.called() == ["node_id", "start"]
        await asyncio.sleep(0)
        assert not world.pool.replicas
        admit()
        prepared.append((actor, len(world.pool.replicas)))

    world.pool.prepare = prepare
    assert await world.call() == "second" and prepared == [(world.handles[1], 1)]


async def test_many_callers_of_one_lost_actor_cost_one_restart(killed) -> None:
    world = await World.started({"work": [DIED]}, {"work": ["second"]})
    assert await asyncio.gather(*(world.call() for _ in range(5))) == ["second"] * 5
    assert world.pool.restarts == 1 and len(killed) == 1


async def test_a_replacement_that_was_sent_to_a_dead_node_costs_nothing(killed) -> None:
    world = await World.started({"work": [DIED]}, {"node_id": [DIED]}, {"work": ["third"]}, max_restarts=1)
    assert await world.call() == "third" and world.pool.restarts == 2


async def test_a_replacement_that_dies_while_it_starts_is_replaced_too(killed) -> None:
    world = await World.started({"work": [DIED]}, {"start": [DIED]}, {"work": ["third"]})
    assert await world.call() == "third"
    assert world.pool.restarts == 2 and killed == world.handles[:2]


async def test_a_node_on_which_starts_fail_again_and_again_is_named_and_avoided(killed) -> None:
    bad = {"start": [DIED], "node_id": ["a bad node"]}
    world = await World.started({"work": [DIED], "node_id": ["good"]}, bad, bad, {"work": ["last"]}, max_restarts=5)
    assert await world.call() == "last"
    assert world.avoided[-1] == {"a bad node"} and world.avoided[-2] == frozenset()
    assert any("node a bad no is avoided" in note for note in world.notes)


async def test_a_bug_in_a_replacement_is_raised(killed) -> None:
    world = await World.started({"work": [DIED]}, {"start": [ValueError("a bug")]})
    with pytest.raises(ValueError, match="a bug"):
        await world.call()
    assert killed == world.handles


async def test_the_loss_of_an_idle_actor_is_noticed_without_a_call(killed) -> None:
    world = await World.started()
    world.handles[0].die()
    await until(lambda: world.pool.restarts == 1 and world.pool.replicas)
    assert killed == [world.handles[0]] and await world.call() == "ok" and world.worked() == [0, 1]


async def test_the_loss_of_the_last_idle_actor_is_told_to_the_next_caller(killed) -> None:
    world = await World.started(max_restarts=0)
    world.handles[0].die()
    await until(lambda: not world.pool.replicas)
    with pytest.raises(RolloutFleetExhausted):
        await world.call()


async def test_without_restarts_the_others_go_on_until_the_budget_has_room(killed) -> None:
    world = await World.started(
        {"work": [DIED]}, {"work": ["other"]}, {"work": ["new"]}, size=2, budget=LossBudget(0, 0.1)
    )
    assert await world.call() == "other" and await world.call() == "other"
    assert len(world.pool.replicas) == 1 and "not replaced for now" in world.notes[0]
    await until(lambda: len(world.pool.replicas) == 2)
    await world.pool.close()


@pytest.mark.parametrize(("role", "error"), [("rollout", RolloutFleetExhausted), ("reward", RewardError)])
async def test_the_last_loss_ends_the_run_with_its_cause(killed, role, error) -> None:
    world = await World.started({"work": [DIED]}, {"work": [DIED]}, max_restarts=1, role=role)
    with pytest.raises(error, match="no more may be replaced") as caught:
        await world.call()
    assert caught.value.facts["restarts"] == 1 and caught.value.facts["last"]
    with pytest.raises(error, match="no more may be replaced"):
        await world.call()


async def test_a_pool_that_can_not_start_says_why(killed) -> None:
    with pytest.raises(RolloutFleetExhausted, match="died while it started"):
        await World.started({"start": [DIED]})


async def test_an_actor_without_a_place_ends_the_start_and_is_asked_for_again_later(killed) -> None:
    never = asyncio.Event()
    with pytest.raises(PlacementError, match="no room for a rollout actor within"):
        await World.started({"node_id": [never.wait]}, provision_s=0.01)
    world = await World.started({"work": ["ok"]}, {"node_id": [never.wait]}, size=2, smallest=1, provision_s=0.02)
    await until(lambda: len(world.pool.replicas) == 2)
    assert len(world.handles) == 3 and world.pool.restarts == 0 and world.handles[1] in killed


async def test_a_replica_has_at_most_so_many_calls_in_flight(killed) -> None:
    running = peak = 0

    async def counted():
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1
        return "ok"

    world = await World.started({"work": [counted]}, max_calls_in_flight=2)
    await asyncio.gather(*(world.call() for _ in range(9)))
    assert peak == 2


async def test_memory_is_that_of_the_largest_replica_that_answers(killed) -> None:
    world = await World.started({"rss_bytes": [100]}, {"rss_bytes": [300]}, {"rss_bytes": [DIED]}, size=3)
    assert await world.pool.max_rss_bytes() == 300


async def test_a_pool_grows_while_calls_go_on_and_shrinks_without_losing_one(killed) -> None:
    gate = asyncio.Event()

    async def waits():
        await gate.wait()
        return "ok"

    world = await World.started({"work": [waits]})
    calls = [asyncio.create_task(world.call()) for _ in range(3)]
    await asyncio.sleep(0)
    world.pool.resize(3)
    await until(lambda: len(world.pool.replicas) == 3)
    assert (await world.call() == "ok" and world.worked() == [3, 1, 0]) or world.worked() == [3, 0, 1]
    world.pool.resize(1)
    assert [replica.actor for replica in world.pool.replicas] == [world.handles[0]] and len(killed) == 2
    gate.set()
    assert await asyncio.gather(*calls) == ["ok"] * 3 and world.pool.restarts == 0


async def test_an_actor_that_is_only_asked_for_goes_first_when_fewer_are_wanted(killed) -> None:
    never = asyncio.Event()
    world = await World.started({"work": ["ok"]}, {"node_id": [never.wait]}, size=2, smallest=1)
    world.pool.resize(1)
    assert killed == [world.handles[1]] and await world.call() == "ok"


async def test_actors_leave_with_their_node_and_what_can_end_ends(killed) -> None:
    gate = asyncio.Event()

    async def waits():
        await gate.wait()
        return "old"

    leaving = {"work": [waits], "node_id": ["a"]}
    world = await World.started(leaving, {"work": ["new"], "node_id": ["b"]}, max_restarts=0)
    call = asyncio.create_task(world.call())
    await asyncio.sleep(0)
    world.pool.drain("a", leave_s=60)
    assert await world.call() == "new", "new calls go elsewhere"
    assert world.avoided[1] == {"a"} and not killed
    gate.set()
    assert await call == "old"
    await until(lambda: killed == world.handles[:1])
    assert world.pool.restarts == 0


async def test_what_does_not_end_before_the_node_goes_is_asked_again_elsewhere(killed, monkeypatch) -> None:
    died = asyncio.Event()

    async def waits():
        await died.wait()
        raise DIED

    def kill(actor):
        killed.append(actor)
        died.set()

    monkeypatch.setattr("ray.kill", kill)
    world = await World.started({"work": [waits], "node_id": ["a"]}, {"work": ["new"]}, max_restarts=0)
    call = asyncio.create_task(world.call())
    await asyncio.sleep(0)
    world.pool.drain("a", leave_s=2.05)
    assert await call == "new"
    assert killed == world.handles[:1] and any("made again elsewhere" in note for note in world.notes)


async def test_a_loss_that_was_announced_does_not_count(killed) -> None:
    class Preempted(ActorDiedError):
        preempted = True

    announced = Preempted()
    world = await World.started({"work": [announced]}, {"work": [announced]}, {"work": ["third"]}, max_restarts=0)
    assert await world.call() == "third"


async def test_without_any_actor_calls_wait_and_then_the_run_is_given_up(killed) -> None:
    never = asyncio.Event()
    world = await World.started({"work": ["ok"], "node_id": ["a"]}, {"node_id": [never.wait]}, give_up_s=0.05)
    world.pool.drain("a", leave_s=10)
    with pytest.raises(RolloutFleetExhausted, match="no rollout actor for"):
        await world.call()
    await world.pool.close()


async def test_a_node_that_is_not_fit_gets_no_actor_and_is_avoided(killed) -> None:
    asked = []

    async def is_fit(node):
        asked.append(node)
        return node != "node 7"

    world = World({"node_id": ["node 7"]}, {"node_id": ["node 8"], "work": ["ok"]})
    world.pool.is_fit = is_fit
    await world.pool.start()
    assert asked == ["node 7", "node 8"] and killed == [world.handles[0]]
    assert world.avoided == [frozenset(), frozenset({"node 7"})]
    assert "start" not in world.handles[0].called() and world.pool.restarts == 0


async def test_the_node_of_a_lost_actor_is_told(killed) -> None:
    world = await World.started({"node_id": ["node 7"], "work": [DIED]}, {"work": ["ok"]})
    lost = []
    world.pool.lost = lost.append
    assert await world.call() == "ok"
    assert lost == ["node 7"] and world.pool.causes == {"died": 1}
    assert [replica.stage.name for replica in world.pool.members()] == ["SERVING"] and world.pool.num_calls == 0


async def test_a_closed_pool_replaces_nothing_that_a_call_loses(killed) -> None:
    dead = asyncio.Event()

    async def end():
        await dead.wait()
        raise DIED

    world = await World.started({"work": [end]})
    call = asyncio.create_task(world.call())
    await until(lambda: world.worked() == [1])
    await world.pool.close()
    dead.set()
    with pytest.raises(RolloutFleetExhausted):
        await call
    assert len(world.handles) == 1
