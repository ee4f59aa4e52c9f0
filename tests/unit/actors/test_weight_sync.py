"""A weight update on fake handles: in which order engines and learner are called, and what the loss of one costs."""

import asyncio

import pytest
from handles import Handle
from ray.exceptions import ActorDiedError

from actors.fleet.ranks import LearnerRanks
from actors.fleet.role_pools import RolloutPool
from actors.fleet.weight_sync import WeightSync
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import LearnerError, ModelError, WeightSyncError


class Piece(str):
    """A bucket: a name, and whether it is the last one."""

    is_last = False


class Last(Piece):
    is_last = True


FIRST, SECOND, ONLY = Piece("first"), Last("second"), Last("first")
MEETING = ("10.0.0.1", 4711, "node-a")


def config_of(transport="shared_memory"):
    gpus = {"gpus_per_actor": 1} if transport == "nccl" else {}
    return GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": 1},
            "model": {"path": "none"},
            "rollout": {"num_actors": 2, "max_restarts": 1, **gpus},
            "learner": {"gpus_per_rank": 1} if gpus else {},
            "weight_sync": {"transport": transport},
        }
    )


class World:
    """Two engines and a learner of one rank, with two buckets to send."""

    def __init__(self, *engines, transport="shared_memory", **learner):
        config = config_of(transport)
        answers = {"next_bucket": [FIRST, SECOND, None], "manifest": [["wire"]], "meeting_point": [MEETING]}
        self.rank = Handle("rank", **(answers | learner))
        self.learner = LearnerRanks(config, lambda rank: self.rank)
        self.learner._version, self.learner.node_id = 5, "node-a"
        self._scripts = [{"node_id": ["node-a"], **script} for script in engines]
        self.engines = []
        self.pool = RolloutPool(config, self.spawn, lambda note: None)

    @classmethod
    async def started(cls, *engines, transport="shared_memory", **learner):
        world = cls(*engines, transport=transport, **learner)
        await world.pool.start()
        for engine in world.engines:
            assert engine.called() == ["node_id", "start"]
            engine.calls.clear()
        world.weight_sync = WeightSync(config_of(transport), world.learner, world.pool)
        return world

    async def joined(self, count):
        """Wait until so many engines serve."""
        async with asyncio.timeout(5):
            while len(self.pool.pool.replicas) < count:
                await asyncio.sleep(0)

    def spawn(self, index, avoided):
        script = self._scripts.pop(0) if self._scripts else {"node_id": ["node-a"]}
        self.engines.append(Handle(f"engine {len(self.engines)}", **script))
        return self.engines[-1]


UPDATE = ["pause", "start_weight_update", "load_bucket", "load_bucket", "finish_and_resume"]


async def test_every_engine_gets_every_bucket_and_the_version(killed) -> None:
    world = await World.started()
    await world.weight_sync.publish()
    for engine in world.engines:
        assert engine.called() == ["check_manifest", "node_id", *UPDATE]
        assert [call for call in engine.calls if call[0] == "load_bucket"] == [
            ("load_bucket", "first", None),
            ("load_bucket", "second", None),
        ]
        assert engine.calls[-1] == ("finish_and_resume", 5)
    assert not killed and world.pool.pool.restarts == 0


async def test_the_next_bucket_is_made_while_this_one_is_loaded_and_not_the_one_after(killed) -> None:
    order = []

    async def load(bucket, data):
        order.append(f"load {bucket}")
        await asyncio.sleep(0.05)
        order.append(f"loaded {bucket}")

    buckets = [FIRST, Piece("second"), Last("third"), None]

    async def make():
        order.append(f"make {buckets[0]}")
        return buckets.pop(0)

    world = await World.started({"load_bucket": [load]}, {}, next_bucket=[make])
    await world.weight_sync.publish()
    assert order.index("make second") < order.index("loaded first")
    assert order.index("loaded first") < order.index("make third") < order.index("loaded second")
    assert order.index("loaded third") < order.index("make None")  # the end of the series removes the files


async def test_an_engine_that_is_lost_while_the_next_bucket_is_made_stops_nothing(killed) -> None:
    buckets = [FIRST, SECOND, None, ONLY, None]
    world = await World.started({"load_bucket": [None, ActorDiedError()]}, {}, next_bucket=buckets)
    await world.weight_sync.publish()
    await world.joined(2)
    lost, other, new = world.engines
    assert killed == [lost] and other.calls[-1] == new.calls[-1] == ("finish_and_resume", 5)


async def test_manifests_are_compared_once(killed) -> None:
    world = await World.started(next_bucket=[ONLY, None, ONLY, None])
    await world.weight_sync.publish()
    await world.weight_sync.publish()
    assert world.engines[0].called().count("check_manifest") == 1 and world.rank.called().count("manifest") == 1


async def test_engines_on_other_nodes_get_the_bytes(killed) -> None:
    world = await World.started({"node_id": ["node-b"]}, {}, packed_bucket=["bytes"])
    await world.weight_sync.publish()
    away, here = ([call[2] for call in engine.calls if call[0] == "load_bucket"] for engine in world.engines)
    assert [item is None for item in away] == [False, False] and here == [None, None]
    for reference in away:
        assert await reference == "bytes"


async def test_a_lost_engine_is_replaced_and_brought_up_to_date(killed) -> None:
    world = await World.started({"load_bucket": [ActorDiedError()]}, {}, next_bucket=[ONLY, None, ONLY, None])
    await world.weight_sync.publish()
    await world.joined(2)
    lost, other, new = world.engines
    assert killed == [lost] and "finish_and_resume" not in lost.called()
    assert other.calls[-1] == new.calls[-1] == ("finish_and_resume", 5)
    assert new.called()[:6] == [*JOIN, "stage_bucket"]


async def test_an_engine_with_a_mix_of_weights_is_replaced(killed) -> None:
    world = await World.started(
        {"finish_and_resume": [WeightSyncError("not all arrived")]}, {}, next_bucket=[ONLY, None]
    )
    await world.weight_sync.publish()
    assert killed == [world.engines[0]] and world.pool.pool.restarts == 1


async def test_an_engine_with_another_model_ends_the_run(killed) -> None:
    world = await World.started({"check_manifest": [ModelError("other tensors")]})
    with pytest.raises(ModelError):
        await world.weight_sync.publish()
    assert not killed


async def test_a_lost_learner_ends_the_run(killed) -> None:
    world = await World.started(next_bucket=[ActorDiedError()])
    with pytest.raises(LearnerError):
        await world.weight_sync.publish()


async def test_nccl_ranks_follow_the_learner_in_the_order_of_the_engines(killed) -> None:
    world = await World.started(transport="nccl")
    await world.weight_sync.publish()
    joins = [next(call for call in engine.calls if call[0] == "join_broadcast") for engine in world.engines]
    assert joins == [("join_broadcast", "10.0.0.1", 4711, 1, 3), ("join_broadcast", "10.0.0.1", 4711, 2, 3)]
    assert ("open_broadcast", "10.0.0.1", 4711, 2) in world.rank.calls
    await world.weight_sync.publish()  # the group stays as long as its engines do
    assert world.rank.called().count("open_broadcast") == 1 and world.rank.called().count("broadcast") == 2


class Slow:
    """A learner whose buckets are given out one at a time, when the test says so."""

    def __init__(self, names):
        self.given, self._names, self._gate = [], list(names), asyncio.Semaphore(0)

    async def next_bucket(self):
        await self._gate.acquire()
        self.given.append(self._names[0])
        return self._names.pop(0)

    def let(self, count):
        for _ in range(count):
            self._gate.release()


JOIN = ["node_id", "start", "check_manifest", "node_id", "drop_staged"]
STAGED = ["stage_bucket", "stage_bucket", "pause", "load_staged", "finish_and_resume"]


async def newcomer(world, slow):
    """Let a third engine join, which has taken one bucket when this returns."""
    world.rank._methods.pop("next_bucket", None)
    world.rank._methods["next_bucket"] = type(world.rank._methods["manifest"])(
        world.rank.calls, "next_bucket", [slow.next_bucket]
    )
    world.pool.pool.resize(3)
    slow.let(1)
    await until(lambda: len(world.engines) == 3 and "stage_bucket" in world.engines[2].called())
    return world.engines[2]


async def until(reached):
    async with asyncio.timeout(5):
        while not reached():
            await asyncio.sleep(0)


async def test_a_newcomer_takes_the_weights_while_the_learner_works_and_then_serves() -> None:
    world = await World.started(next_bucket=[ONLY, None], update=[(6, {})])
    await world.weight_sync.publish()
    new = await newcomer(world, slow := Slow([FIRST, SECOND, None]))
    await asyncio.sleep(0)
    slow.let(2)
    await world.joined(3)
    assert new.called() == [*JOIN, *STAGED] and new.calls[-1] == ("finish_and_resume", 5)
    assert [engine.called().count("pause") for engine in world.engines[:2]] == [1, 1], "the others went on"


async def test_the_learner_waits_for_a_newcomer_no_longer_than_one_bucket() -> None:
    world = await World.started(next_bucket=[ONLY, None], accumulate=[None])
    await world.weight_sync.publish()
    new = await newcomer(world, slow := Slow([FIRST, SECOND, None]))
    accumulated = asyncio.create_task(world.learner.accumulate([["groups"]]))
    slow.let(1)
    await accumulated
    assert slow.given == [FIRST, SECOND] and "pause" not in new.called()
    slow.let(1)
    await world.joined(3)


async def test_a_newcomer_that_an_update_overtakes_gets_the_new_weights_with_all_others() -> None:
    world = await World.started(next_bucket=[ONLY, None], update=[(6, {})])
    await world.weight_sync.publish()
    new = await newcomer(world, slow := Slow([FIRST, SECOND, None, ONLY, None]))
    update = asyncio.create_task(world.learner.update([["steps"]]))
    slow.let(1)  # the newcomer may hold the turn for one more bucket
    await update
    await until(lambda: "drop_staged" in new.called())
    for _ in range(20):  # it begins anew, sees that a publication is due, and waits for it
        await asyncio.sleep(0)
    slow._names = [ONLY, None]
    slow.let(9)
    await world.weight_sync.publish()
    await world.joined(3)
    assert "drop_series" in world.rank.called() and "drop_staged" in new.called()
    assert "load_staged" not in new.called()
    assert [engine.calls[-1] for engine in world.engines] == [("finish_and_resume", 6)] * 3


async def test_a_publication_ends_the_series_of_a_newcomer() -> None:
    world = await World.started(next_bucket=[ONLY, None])
    await world.weight_sync.publish()
    new = await newcomer(world, slow := Slow([FIRST, ONLY, None, ONLY, None]))
    publish = asyncio.create_task(world.weight_sync.publish())
    slow.let(9)
    await publish
    await world.joined(3)
    assert world.rank.called().count("drop_series") == 1 and new.calls[-1] == ("finish_and_resume", 5)


async def test_an_engine_that_asks_just_before_a_publication_is_part_of_it() -> None:
    """Nothing would be learned without it if it were the only engine, and so no other publication would come."""
    world = await World.started(next_bucket=[ONLY, None], update=[(6, {})])
    await world.weight_sync.publish()
    await world.learner.update([["steps"]])
    async with world.learner.turn:  # as while ranks come back
        world.pool.pool.resize(3)
        await until(lambda: len(world.engines) == 3 and "start" in world.engines[2].called())
        for _ in range(20):  # the engine queues for the turn
            await asyncio.sleep(0)
        publish = asyncio.create_task(world.weight_sync.publish())
        await asyncio.sleep(0)
    await publish
    await world.joined(3)
    assert world.engines[2].calls[-1] == ("finish_and_resume", 6)


async def test_a_newcomer_that_dies_on_its_way_is_replaced_and_holds_nobody_up(killed) -> None:
    world = await World.started({}, {}, {"stage_bucket": [None, ActorDiedError()]}, next_bucket=[ONLY, None])
    await world.weight_sync.publish()
    new = await newcomer(world, slow := Slow([FIRST, SECOND, FIRST, SECOND, None]))
    slow.let(9)
    await world.joined(3)
    assert killed == [new] and world.engines[3].calls[-1] == ("finish_and_resume", 5)
    assert "drop_series" in world.rank.called()
