"""Turns on fake devices: never both roles awake, never a sample from weights that are gone, in any order of events."""

import asyncio
import itertools
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import DeadlineExceeded, LearnerError, RunInterrupted, WeightSyncError
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.records import Completion, Prompt, RewardResult, SampledGroup
from vlaa_ray.roles import Roles
from vlaa_ray.turns import STARTED, Devices, Engines, LearnerInTurn, Move, OwnDevices, Turns, Work, after, moves

SAMPLING = Devices(Engines.AWAKE, learner=False, current=True)


class World:
    """One device with an engine and a learner. It knows by itself what may be on it, and how old the weights are."""

    def __init__(self, deadline_s=5.0):
        self.cache = self.weights_here = False
        self.weights = None  # the version of the engine's weights; None if they are gone
        self.learner_here, self.version = True, 0
        self.samples = 0
        self.log = []
        self.broken = ""
        self.turns = Turns(self, deadline_s=deadline_s)

    async def step(self, name):
        self.log.append(name)
        await asyncio.sleep(0)
        if self.broken == name:
            raise LearnerError(f"{name} failed")
        assert not (self.cache and self.learner_here), "both are awake"

    async def sleep(self, *, keep_weights):
        assert not self.samples, "samples were running"
        assert self.cache or self.weights_here, "it sleeps already"
        self.cache = self.weights_here = False
        if not keep_weights:
            self.weights = None
        await self.step("sleep, keep" if keep_weights else "sleep, drop")

    async def wake_weights(self):
        assert not self.weights_here
        await self.step("wake weights")
        self.weights_here = True

    async def wake_cache(self):
        assert self.weights_here and not self.cache and not self.learner_here
        await self.step("wake cache")
        self.cache = True

    async def load_learner(self):
        assert not self.learner_here and not self.cache and not self.weights_here
        await self.step("load")
        self.learner_here = True

    async def offload_learner(self):
        assert self.learner_here
        await self.step("offload")
        self.learner_here = False

    async def sample(self):
        async with self.turns.sampling():
            self.samples += 1
            try:
                for _ in range(2):
                    assert self.cache and self.weights_here and not self.learner_here
                    assert self.weights == self.version, "sampled from weights that are gone or old"
                    await asyncio.sleep(0)
            finally:
                self.samples -= 1

    async def update(self):
        async with self.turns.updating():
            assert self.learner_here and not self.cache and not self.weights_here
            await asyncio.sleep(0)
            self.version += 1
            await asyncio.sleep(0)

    async def publish(self, to_all=True):
        async with self.turns.publishing(to_all=to_all):
            assert self.learner_here and self.weights_here and not self.cache
            await asyncio.sleep(0)
            if to_all:
                self.weights = self.version

    async def save(self):
        async with self.turns.saving():
            assert self.learner_here and not self.cache
            await asyncio.sleep(0)


async def test_the_moves_of_a_step_and_their_order() -> None:
    world = World()
    await world.publish()
    await world.sample()
    await world.update()
    await world.publish()
    await asyncio.gather(world.sample(), world.sample())
    start, step = ["wake weights", "offload", "wake cache"], ["sleep, drop", "load"]
    assert world.log == [*start, *step, *start]
    assert world.turns.devices == SAMPLING and world.turns.moving_s > 0


async def test_weights_that_are_not_replaced_are_kept() -> None:
    world = World()
    await world.publish()
    await world.save()  # the learner is still there
    await world.sample()
    world.log.clear()
    await world.save()
    await world.sample()
    assert world.log == ["sleep, keep", "load", "offload", "wake weights", "wake cache"]


async def test_a_new_engine_gets_weights_while_the_others_keep_theirs() -> None:
    world = World()
    await world.publish()
    await world.sample()
    world.log.clear()
    await world.publish(to_all=False)
    await world.sample()
    assert world.log == ["sleep, keep", "load", "wake weights", "offload", "wake cache"]


async def test_a_request_waits_until_new_weights_are_there() -> None:
    world = World()
    await world.publish()
    await world.update()
    early = asyncio.ensure_future(world.sample())
    await world.save()  # it passes the request by
    assert not early.done()
    await world.publish()
    await early


async def test_turns_are_taken_in_the_order_of_asking() -> None:
    world, order = World(), []

    async def noted(name, turn):
        await turn
        order.append(name)

    await world.publish()
    names = {"first": world.sample(), "save": world.save(), "second": world.sample(), "third": world.sample()}
    await asyncio.gather(*(noted(name, turn) for name, turn in names.items()))
    assert order == ["first", "save", "second", "third"]


async def test_a_wait_has_a_deadline() -> None:
    world = World(deadline_s=0.02)
    with pytest.raises(DeadlineExceeded, match=r"not free to sample within 0.02 s"):
        await world.sample()  # no weights were ever published
    await world.publish()
    await world.sample()


@pytest.mark.parametrize("move", ["sleep, drop", "load", "wake weights", "offload", "wake cache"])
async def test_after_a_move_that_failed_nobody_works(move) -> None:
    world = World()
    await world.publish()
    await world.sample()
    world.broken = move
    with pytest.raises(LearnerError, match=move):
        await world.update()
        await world.publish()
        await world.sample()
    for work in (world.sample, world.update, world.publish, world.save):
        with pytest.raises(LearnerError, match=move):
            await work()


EVENTS = ("sample", "update", "publish", "publish one", "save")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 4), st.none() | st.integers(0, 12)), max_size=14))
@example([("sample", 0, None), ("update", 1, 3), ("save", 0, None), ("publish", 0, 2), ("sample", 0, 5)])
def test_no_sequence_of_events_and_interruptions_breaks_a_rule(events) -> None:
    """An event is (what, pauses before it, pauses until it is cancelled or None); the fake device checks every rule."""

    async def run():
        world, tasks = World(), []
        work = {
            "sample": world.sample,
            "update": world.update,
            "publish": world.publish,
            "publish one": lambda: world.publish(to_all=False),
            "save": world.save,
        }

        async def interrupted(task, pauses):
            for _ in range(pauses):
                await asyncio.sleep(0)
            task.cancel()

        for what, before, until in events:
            for _ in range(before):
                await asyncio.sleep(0)
            tasks.append(asyncio.ensure_future(work[what]()))
            if until is not None:
                tasks.append(asyncio.ensure_future(interrupted(tasks[-1], until)))
        for _ in range(200):  # only samples without weights wait longer
            await asyncio.sleep(0)
        await world.publish()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in results if isinstance(one, Exception)]
        await world.update()
        await world.publish()
        await world.sample()
        assert world.turns.devices == SAMPLING

    asyncio.run(run())


def test_all_that_can_be_reached_obeys_the_rules() -> None:
    """Every state that the turns lead to from the start; each step on the way is one that `after` allows."""
    reached, left = set(), [STARTED]
    while left:
        devices = left.pop()
        if devices in reached:
            continue
        reached.add(devices)
        for turn in Work:
            if turn is Work.SAMPLE and not devices.current:
                continue
            now = devices
            for move in moves(devices, turn):
                now = after(now, move)
                assert not (now.engines is Engines.AWAKE and now.learner)
            assert now.learner is (turn is not Work.SAMPLE)
            assert (now.engines is Engines.AWAKE) is (turn is Work.SAMPLE)
            assert turn is not Work.UPDATE or now.engines in (Engines.KEPT, Engines.DROPPED)
            current = {Work.UPDATE: {False}, Work.PUBLISH: {now.current, True}}.get(turn, {now.current})
            left += [Devices(now.engines, now.learner, one) for one in current]
    learning = [(Engines.DROPPED, False), (Engines.KEPT, True), (Engines.KEPT, False)]
    publishing = [(Engines.WEIGHTS, False), (Engines.WEIGHTS, True)]
    assert reached == {SAMPLING, *(Devices(engines, True, current) for engines, current in learning + publishing)}


def test_a_move_against_the_rules_is_refused() -> None:
    refused = 0
    for engines, learner, current, move in itertools.product(Engines, (True, False), (True, False), Move):
        devices = Devices(engines, learner, current)
        with suppress(WeightSyncError):
            now = after(devices, move)
            assert not (now.engines is Engines.AWAKE and now.learner) or (engines is Engines.AWAKE and learner)
            assert move is not Move.WAKE_CACHE or current
            continue
        refused += 1
    assert refused
    with pytest.raises(WeightSyncError, match="can't be moved now") as caught:
        after(SAMPLING, Move.LOAD)
    assert caught.value.facts["got"] == "LOAD"


async def test_roles_with_devices_of_their_own_never_wait() -> None:
    turns = OwnDevices()
    async with turns.sampling(), turns.publishing(), turns.publishing(to_all=False):
        pass


# --- the real loop ------------------------------------------------------------------------------------------------


class Roller:
    """Every role at once, on the fake device."""

    def __init__(self, world):
        self.world, self.weight_version, self.actions = world, 0, []

    async def sample(self, request):
        await self.world.sample()
        completion = Completion(
            text="1",
            token_ids=np.array([1], dtype=np.int32),
            rollout_logprobs=np.zeros(1, dtype=np.float32),
            weight_versions=((self.world.weights, 0, 1),),
            finish_reason="stop",
        )
        return SampledGroup(
            prompt_token_ids=np.arange(2, dtype=np.int32), completions=(completion,) * request.num_samples
        )

    async def score(self, prompt, completions, progress):
        return [RewardResult(value=i / len(completions), valid=True) for i, _ in enumerate(completions)]

    async def offload(self):
        pass

    async def update(self, shares):
        self.actions.append("update")
        assert self.world.learner_here and not self.world.cache
        self.world.version += 1
        self.weight_version += 1
        await asyncio.sleep(0)
        return {"policy/loss": 0.0}

    async def save(self, folder):
        self.actions.append("save")
        assert self.world.learner_here and not self.world.cache
        await asyncio.sleep(0)

    async def written(self):
        await asyncio.sleep(0)

    async def load(self, folder):
        self.actions.append("load")
        assert self.world.learner_here and not self.world.cache
        self.weight_version = self.world.version = 2

    async def publish(self):
        await self.world.publish()

    async def metrics(self):
        return {}


class Run:
    """A run that stops at its `stop_at`-th wait, or that resumes."""

    def __init__(self, folder, resume_state=None, stop_at=0):
        self.resume_folder, self.resume_state = folder, resume_state
        self.logged, self.saved, self.alarms = [], [], []
        self.checkpoint_request = asyncio.Event()
        self._waits, self._stop_at = 0, stop_at

    def phase(self, name):
        pass

    def log(self, step, metrics, groups=()):
        self.logged.append((step, metrics))

    def study(self, groups):
        return {}

    def alarm(self, message):
        self.alarms.append(message)

    def begin_checkpoint(self, step):
        return self.resume_folder

    def commit_checkpoint(self, step, state):
        self.saved.append(step)

    async def stoppable(self, waiting):
        self._waits += 1
        if self._waits == self._stop_at:
            task = asyncio.ensure_future(waiting)
            await asyncio.sleep(0)
            task.cancel()
            raise RunInterrupted("stopped", signal=15)
        return await waiting


async def run_loop(run, num_steps=4):
    config = GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": num_steps},
            "model": {"path": "none"},
            "placement": "colocated",
            "rollout": {"prompts_per_step": 3, "group_size": 2},
            "eval": {"every_steps": 2},
            "checkpoint": {"every_steps": 3},
        }
    )
    world = World()
    roller = Roller(world)
    prompts = [Prompt(prompt_id=str(i), question="?", gold=i, verifier_type="digit", source="t") for i in range(12)]
    learner = LearnerInTurn(roller, world.turns)
    roles = Roles(rollouts=roller, rewards=roller, learner=learner, weight_sync=roller)
    with suppress(RunInterrupted):
        await train(config, prompts, HeldOut(prompts[:2]), roles, run)
    return world, roller


async def test_a_run_evaluates_saves_and_learns_in_turn(tmp_path) -> None:
    run = Run(tmp_path)
    world, roller = await run_loop(run)
    assert [step for step, _ in run.logged] == [0, 1, 2, 3, 4] and run.saved == [3, 4] and not run.alarms
    assert roller.actions == ["update", "update", "update", "save", "update", "save"] and world.version == 4
    # the checkpoint of step 3 finds the learner on the device; before that of step 4 there was an evaluation
    assert world.log.count("sleep, drop") == 4 and world.log.count("sleep, keep") == 1 and world.log.count("load") == 5
    assert all(metrics["time/turns_s"] > 0 for step, metrics in run.logged if step)


async def test_a_resumed_run_loads_before_it_samples(tmp_path) -> None:
    run = Run(tmp_path, resume_state={"step": 2, "position": 6, "weight_version": 2})
    _, roller = await run_loop(run)
    assert roller.actions[0] == "load" and [step for step, _ in run.logged] == [3, 4]


@pytest.mark.parametrize("stop_at", range(1, 7))
async def test_an_interrupted_run_saves_what_it_has_learned(tmp_path, stop_at) -> None:
    run = Run(tmp_path, stop_at=stop_at)
    _, roller = await run_loop(run)
    done = roller.actions.count("update")
    assert done < 4 and (run.saved[-1:] == [done] or done == 0)
