"""Engines and ranks that share devices, on fake handles: the calls of a step, lost engines, and new ones."""

import asyncio
from types import SimpleNamespace

import pytest
from handles import Handle
from ray.exceptions import ActorDiedError

from actors.fleet.restarting_ranks import RestartingRanks
from actors.fleet.role_pools import RolloutPool
from actors.fleet.shared_devices import share_devices
from actors.fleet.weight_sync import WeightSync
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import LearnerError, RolloutError, RolloutFleetExhausted, WeightSyncError
from vlaa_ray.records import Prompt
from vlaa_ray.roles import SampleRequest
from vlaa_ray.turns import Engines, LearnerInTurn

CONFIG = GrpoConfig.model_validate(
    {
        "run": {"name": "t", "num_steps": 1},
        "model": {"path": "none"},
        "placement": "colocated",
        "rollout": {"num_actors": 2, "max_restarts": 2, "gpus_per_actor": 1},
        "learner": {"num_ranks": 2, "gpus_per_rank": 1, "max_restarts": 1},
    }
)
REQUEST = SampleRequest(
    prompt=Prompt(prompt_id="p", question="?", gold=1, verifier_type="digit", source="t"),
    num_samples=2,
    seed=0,
    temperature=1.0,
    max_completion_tokens=4,
)
DIED = ActorDiedError()
BUCKET = SimpleNamespace(is_last=True)
UPDATE = ["pause", "start_weight_update", "load_bucket", "finish_and_resume"]


class Places:
    """The places of the ranks, and the run around them, which has saved no checkpoint.

    `starts` has the ranks of every start. Those of the first have the answers `first`; later ones are sound.
    """

    checkpoint_request, note = asyncio.Event(), staticmethod(lambda text: None)

    def __init__(self, first):
        answers = {"next_bucket": [BUCKET, None] * 9, "manifest": [["wire"]], "update": [(1, {"policy/loss": 0.5})]}
        self._answers = answers | {"meeting_point": [("address", 1, "node")]}
        self.starts = [self._ranks(self._answers | first)]

    def _ranks(self, answers):
        return [Handle(f"rank {number}", node_id=["node"], **answers) for number in range(2)]

    def spawn(self, rank):
        return self.starts[0][rank]

    async def respawn(self):
        self.starts.append(self._ranks(self._answers))
        return self.starts[-1]

    def is_leaving(self):
        return False

    def saved_checkpoints(self):
        return []


class World:
    """Two engines and two ranks that have started."""

    def __init__(self, *engines, rank=None):
        self.places = Places(rank or {})
        self.ranks = self.places.starts[0]
        self.learner = RestartingRanks(CONFIG, self.places, self.places)
        self.learner.node_id = "node"
        self._scripts, self.engines = list(engines), []
        self.pool = RolloutPool(CONFIG, self.spawn, lambda note: None)

    @classmethod
    async def started(cls, *engines, rank=None):
        self = cls(*engines, rank=rank)
        await self.pool.start()
        for engine in self.engines:
            engine.calls.clear()
        self.turns = share_devices(CONFIG, self.learner, self.pool)
        self.weight_sync = WeightSync(CONFIG, self.learner, self.pool, self.turns)
        self.in_turn = LearnerInTurn(self.learner, self.turns)
        return self

    def spawn(self, index, avoided):
        script = self._scripts.pop(0) if self._scripts else {}
        self.engines.append(self._handle(f"engine {len(self.engines)}", {"sample": ["group"], **script}))
        return self.engines[-1]

    def _handle(self, name, answers):
        return Handle(name, **{"node_id": ["node"], **answers})

    def since(self, handle, count):
        return [name for name in handle.called()[count:] if name not in ("check_manifest", "node_id", "manifest")]


async def test_a_step_sleeps_wakes_and_offloads_in_order(killed) -> None:
    world = await World.started()
    await world.weight_sync.publish()
    assert await world.pool.sample(REQUEST) == "group"
    first = ["wake_weights", *UPDATE, "wake_cache"]
    assert world.since(world.engines[1], 0) == first and world.since(world.engines[0], 0) == [*first, "sample"]
    assert world.since(world.ranks[1], 0) == ["next_bucket", "next_bucket", "offload"]
    done = len(world.ranks[1].called())
    await world.in_turn.update([[], []])
    assert world.engines[1].calls[-1] == ("sleep", False), "the weights need not be kept"
    assert world.since(world.ranks[1], done) == ["reload", "update"]


async def test_a_checkpoint_brings_the_learner_back_and_keeps_the_engines_weights(killed, tmp_path) -> None:
    world = await World.started()
    await world.weight_sync.publish()
    await world.pool.sample(REQUEST)
    done = len(world.ranks[0].called())
    await world.in_turn.save(tmp_path)
    assert world.engines[0].calls[-1] == ("sleep", True) and world.since(world.ranks[0], done) == ["reload", "save"]
    await world.pool.sample(REQUEST)
    assert world.engines[0].called()[-3:] == ["wake_weights", "wake_cache", "sample"]


async def test_a_new_engine_starts_while_the_learner_is_away_and_gets_weights_in_a_turn_of_its_own(killed) -> None:
    world = await World.started(
        {"sample": [RolloutError("the engine died")]}, {"sample": [RolloutError("the engine died")]}
    )
    await world.weight_sync.publish()
    away = []

    async def start():
        away.append(world.ranks[0].called()[-1])

    world._scripts += [{"start": [start]}, {"start": [start]}]
    answers = await asyncio.gather(world.pool.sample(REQUEST), world.pool.sample(REQUEST))
    assert answers == ["group", "group"] and killed == world.engines[:2] and away == ["offload", "offload"]
    calls = [world.since(engine, 0) for engine in world.engines[2:]]
    assert [called[:6] for called in calls] == [["start", *UPDATE, "wake_cache"]] * 2
    assert sorted(name for called in calls for name in called[6:]) == ["sample", "sample"]
    assert world.turns.devices.engines is Engines.AWAKE and not world.turns.devices.learner


async def test_an_engine_that_can_not_sleep_is_ended_before_the_learner_loads(killed) -> None:
    world = await World.started({"sleep": [WeightSyncError("it hangs")]})
    await world.weight_sync.publish()
    await world.pool.sample(REQUEST)
    await world.in_turn.update([[], []])
    assert killed == [world.engines[0]] and world.ranks[0].called()[-1] == "update"


async def test_an_engine_lost_in_a_publication_is_replaced_after_it(killed) -> None:
    world = await World.started({"load_bucket": [DIED]})
    await world.weight_sync.publish()
    async with asyncio.timeout(5):
        while len(world.pool.pool.replicas) < 2:
            await asyncio.sleep(0)
    assert killed[0] is world.engines[0] and len(world.engines) == 3
    assert world.since(world.engines[2], 0) == ["start", *UPDATE]
    assert await world.pool.sample(REQUEST) == "group"
    assert world.since(world.engines[1], 0)[:6] == ["wake_weights", *UPDATE, "wake_cache"], "it waited for the new one"


async def test_when_all_engines_are_lost_the_run_ends(killed) -> None:
    world = await World.started({"sample": [DIED]}, {"sample": [DIED]})
    world._scripts += [{"start": [DIED]}] * 9
    await world.weight_sync.publish()
    with pytest.raises(RolloutFleetExhausted):
        await asyncio.gather(world.pool.sample(REQUEST), world.pool.sample(REQUEST))


async def test_ranks_lost_on_their_way_back_start_again_while_the_engines_sleep(killed) -> None:
    world = await World.started(rank={"reload": [DIED]})
    await world.weight_sync.publish()
    await world.pool.sample(REQUEST)
    await world.in_turn.update([[], []])
    assert killed == world.ranks and len(world.places.starts) == 2
    for rank in world.places.starts[1]:
        assert [name for name in rank.called() if name != "meeting_point"] == ["start", "reload", "update"]
    assert world.engines[0].calls[-1] == ("sleep", False), "the new ranks have the devices for themselves"
    await world.weight_sync.publish()
    assert await world.pool.sample(REQUEST) == "group"


async def test_ranks_lost_as_they_leave_the_devices_end_and_start_again_in_their_next_turn(killed) -> None:
    world = await World.started(rank={"offload": [DIED]})
    await world.weight_sync.publish()
    assert await world.pool.sample(REQUEST) == "group", "the devices are free: the ranks have ended"
    assert killed == world.ranks and len(world.places.starts) == 1
    await world.in_turn.update([[], []])
    assert len(world.places.starts) == 2 and world.learner.restarts == 1


async def test_ranks_lost_in_a_publication_start_again_and_all_engines_get_weights(killed) -> None:
    world = await World.started(rank={"next_bucket": [DIED]})
    await world.weight_sync.publish()
    assert {*world.ranks, *world.engines[:2]} == set(killed), "the engines that were being updated are replaced"
    async with asyncio.timeout(5):
        assert await world.pool.sample(REQUEST) == "group"


async def test_ranks_lost_again_and_again_end_the_run(killed) -> None:
    world = await World.started(rank={"reload": [DIED]})
    world.places._answers["reload"] = [DIED]
    await world.weight_sync.publish()
    await world.pool.sample(REQUEST)
    with pytest.raises(
        LearnerError, match="lost 2 times within 3600 s: a learner rank was lost during the way from RAM"
    ):
        await world.in_turn.update([[], []])
