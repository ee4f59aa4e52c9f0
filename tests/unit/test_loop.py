"""The real loop with roles in one process: what it asks for, in which order, and what it leaves behind."""

import asyncio
import hashlib
import json
import random
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import (
    CheckpointError,
    DataError,
    DeadlineExceeded,
    LearnerError,
    RewardError,
    RolloutFleetExhausted,
    RunInterrupted,
)
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.records import Completion, OptimizerStep, Prompt, RewardResult, SampledGroup
from vlaa_ray.roles import Roles

PROMPTS_PER_STEP, GROUP_SIZE = 4, 2


def config_of(**changes):
    values = {
        "run": {"name": "test", "num_steps": 3, "seed": 5},
        "model": {"path": "none"},
        "rollout": {
            "prompts_per_step": PROMPTS_PER_STEP,
            "group_size": GROUP_SIZE,
            "max_prompt_tokens": 4,
            "max_completion_tokens": 4,
        },
        "learner": {"micro_batch_tokens": 10},  # two groups: half a step is learned while the rest is sampled
        "checkpoint": {"every_steps": 100},
        "eval": {"every_steps": 100, "temperature": 0.0},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            values.setdefault(section, {})[name] = value
        else:
            values[section] = value
    return GrpoConfig.model_validate(values)


def prompts_of(count, name="train"):
    return [
        Prompt(prompt_id=f"{name}/{i}", question="?", gold=i, verifier_type="digit", source="test")
        for i in range(count)
    ]


def number(*parts):
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


class Rollouts:
    """An engine whose tokens depend on the request and the weights alone; `delays` shuffles the order of answers."""

    def __init__(self, events, delays=0):
        self.version, self.weights = -1, None
        self.requests, self.unsamplable, self.error_at = [], set(), {}
        self._events, self._random, self._delays = events, random.Random(0), delays

    async def sample(self, request):
        self.requests.append((request, self.version))
        version, weights = self.version, self.weights
        for _ in range(self._random.randrange(self._delays + 1)):
            await asyncio.sleep(0)
        if request.prompt.prompt_id in self.unsamplable:
            raise DataError("too long", prompt_id=request.prompt.prompt_id)
        if error := self.error_at.get(request.prompt.prompt_id):
            raise error
        completions = tuple(
            Completion(
                text=str(number(request.prompt.prompt_id, request.seed + sample, weights) % 10),
                token_ids=np.array([number(request.seed + sample, weights) % 100, 1], dtype=np.int32),
                rollout_logprobs=np.zeros(2, dtype=np.float32),
                weight_versions=((version, 0, 2),),
                finish_reason="stop",
            )
            for sample in range(request.num_samples)
        )
        return SampledGroup(prompt_token_ids=np.arange(3, dtype=np.int32), completions=completions)

    async def metrics(self):
        return {"memory/rollout_rss_bytes": 1.0}


class WeightSync:
    """Copies the learner's weights into the engine."""

    def __init__(self, events, learner, rollouts):
        self._events, self._learner, self._rollouts = events, learner, rollouts

    async def publish(self):
        await asyncio.sleep(0)
        self._rollouts.version, self._rollouts.weights = self._learner.weight_version, self._learner.weights
        self._events.append(f"sync {self._rollouts.version}")


class Rewards:
    """Sample i of n earns i/n; those of `flat` prompts earn 1.0, those of `invalid` ones can't be judged."""

    def __init__(self):
        self.flat, self.invalid = set(), set()

    async def offload(self):
        pass

    async def score(self, prompt, completions, progress):
        if prompt.prompt_id in self.invalid:
            return [RewardResult(value=None, valid=False, reason="no gold") for _ in completions]
        if prompt.prompt_id in self.flat:
            return [RewardResult(value=1.0, valid=True) for _ in completions]
        return [RewardResult(value=i / len(completions), valid=True) for i, _ in enumerate(completions)]

    async def metrics(self):
        return {}


class Learner:
    """Its weights are a hash of all that it was trained on, in order."""

    def __init__(self, events, updates_per_step=1):
        self.weight_version, self.weights = 0, 0
        self.updates, self.error_at = [], {}
        self.parts, self.failing_part = [], None
        self._events, self._updates_per_step = events, updates_per_step

    async def accumulate(self, shares):
        await asyncio.sleep(0)
        if self.failing_part:
            raise self.failing_part
        self.parts.append([OptimizerStep(groups=tuple(share), num_sequences=0, num_tokens=0) for share in shares])

    async def update(self, last):
        shares = [[*(part[rank] for part in self.parts), *steps] for rank, steps in enumerate(last)]
        self.parts = []
        self.updates.append(shares)
        for _ in range(5):
            await asyncio.sleep(0)
        if error := self.error_at.get(len(self.updates)):
            raise error
        trained = [
            (group.prompt.prompt_id, group.position, [(one.completion.text, one.advantage) for one in group.rollouts])
            for share in shares
            for step in share
            for group in step.groups
        ]
        self.weights = number(self.weights, trained)
        self.weight_version += self._updates_per_step
        self._events.append(f"update {self.weight_version}")
        return {"policy/loss": float(self.weights)}

    async def save(self, folder):
        folder.mkdir(parents=True)
        self._saved = folder / "state.json", json.dumps([self.weight_version, self.weights])

    async def written(self):
        await asyncio.sleep(0)  # the next step may have begun
        path, state = self._saved
        path.write_text(state)

    async def load(self, folder):
        self.weight_version, self.weights = json.loads((folder / "state.json").read_text())

    async def metrics(self):
        return {}


class Run:
    def __init__(self, events, folder, resumed=None):
        self.checkpoint_request = asyncio.Event()
        self.resume_folder, self.resume_state = resumed or (None, None)
        self.rows, self.groups, self.checkpoints = {}, {}, {}
        self.stop_at = None
        self.alarms, self.full_at = [], ()
        self._events, self._folder = events, folder

    def phase(self, name):
        self._events.append(name)

    def log(self, step, metrics, groups):
        assert step not in self.rows, "one row a step"
        self.rows[step], self.groups[step] = metrics, list(groups)
        self._events.append(f"log {step}")

    def study(self, groups):
        return {"completion/reflection/share": float(len(groups))}

    def alarm(self, message):
        self.alarms.append(message)

    def begin_checkpoint(self, step):
        if self._events.count("checkpoint") in self.full_at:
            raise CheckpointError("no space left on device")
        return self._folder / f"{step}-{len(self.checkpoints)}"

    def commit_checkpoint(self, step, state):
        folder = self._folder / f"{step}-{len(self.checkpoints)}"
        self.checkpoints[step] = (folder, json.loads(json.dumps(state)))
        self._events.append(f"saved {step}")

    async def stoppable(self, waiting):
        task = asyncio.ensure_future(waiting)
        if self.stop_at == (self._events[-1], self._events.count(self._events[-1])):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise RunInterrupted("stopped", signal=15)
        return await task


class World:
    def __init__(self, tmp_path, config, *, num_prompts=20, delays=0, resumed=None):
        self.config, self.events = config, []
        self.rollouts, self.rewards = Rollouts(self.events, delays), Rewards()
        self.learner = Learner(self.events, config.learner.updates_per_step)
        self.run = Run(self.events, Path(tempfile.mkdtemp(dir=tmp_path)), resumed)
        self.prompts, self.heldout = prompts_of(num_prompts), prompts_of(3, "heldout")

    async def train(self):
        weight_sync = WeightSync(self.events, self.learner, self.rollouts)
        roles = Roles(rollouts=self.rollouts, rewards=self.rewards, learner=self.learner, weight_sync=weight_sync)
        await asyncio.wait_for(train(self.config, self.prompts, HeldOut(self.heldout), roles, self.run), 30)
        return self

    def trained(self):
        """Every update's prompt ids."""
        return [
            [g.prompt.prompt_id for share in update for step in share for g in step.groups]
            for update in self.learner.updates
        ]


async def test_a_synchronous_run_in_order(tmp_path):
    config = config_of(run={"name": "test", "num_steps": 2}, checkpoint={"every_steps": 2}, eval={"every_steps": 2})
    world = await World(tmp_path, config).train()
    assert world.events == [
        *["start", "sync 0", "eval", "log 0"],
        *["rollout", "learn", "update 1", "weight sync", "sync 1", "log 1"],
        *["rollout", "learn", "update 2", "weight sync", "sync 2", "eval", "log 2", "checkpoint", "saved 2"],
    ]
    asked = [(request.prompt.prompt_id, version) for request, version in world.rollouts.requests]
    heldout = [f"heldout/{i}" for i in range(3)]
    assert [name for name, _ in asked[:3]] == heldout and {version for _, version in asked[:3]} == {0}
    # 4 prompts of the old weights, then 4 of the new, then the evaluation of the last; slots are freed before the save
    assert [version for _, version in asked[3:11]] == [0] * 4 + [1] * 4
    assert [(name, 2) for name in heldout] == asked[11:14]
    assert len({name for name, _ in asked[3:11]}) == 8


async def test_metrics_of_a_step_by_hand(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=1, rewards__max_invalid_share=0.5))
    first, second = [world_order(world, position).prompt_id for position in (0, 1)]
    world.rewards.flat, world.rewards.invalid = {first}, {second}
    await world.train()
    row = world.run.rows[1]
    # of 8 samples: 2 can't be judged, 2 of 1.0, and two groups of 0.0 and 0.5
    assert row["reward/mean"] == pytest.approx((1 + 1 + 0.5 + 0.5) / 6)
    assert row["reward/invalid_share"] == 0.25
    assert row["groups/zero_variance_share"] == 0.5
    assert (row["groups/count"], row["groups/failed"]) == (4, 0)
    assert row["completion/mean_tokens"] == 2
    assert (row["staleness/max"], row["weight_version"]) == (0, 1)
    assert row["throughput/samples_per_s"] == pytest.approx(8 / row["time/step_s"])
    assert row["time/step_s"] >= row["time/rollout_s"] + row["time/learn_s"] + row["time/weight_sync_s"]
    assert len(world.trained()[0]) == 2
    assert {"eval/reward/mean", "eval/reward/digit/mean"} <= row.keys()
    assert {"eval/reward/mean", "weight_version"} <= world.run.rows[0].keys()


async def test_a_full_disk_costs_one_checkpoint_and_not_the_run(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=3, checkpoint__every_steps=1))
    world.run.full_at = (2,)
    await world.train()
    assert sorted(world.run.checkpoints) == [1, 3] and sorted(world.run.rows) == [0, 1, 2, 3]
    (alarm,) = world.run.alarms
    assert "step 2" in alarm and "no space left" in alarm


async def test_a_run_whose_model_can_not_be_saved_fails(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=2, checkpoint__every_steps=5))
    world.run.full_at = (1, 2)
    with pytest.raises(CheckpointError, match="no space left"):
        await world.train()
    assert world.events.count("checkpoint") == 2  # another try before the run is given up


def world_order(world, position):
    from vlaa_ray.data.order import SeededOrder

    return SeededOrder(world.prompts, world.config.run.seed)[position]


@pytest.mark.parametrize("max_staleness", [0, 1, 2])
async def test_prompts_come_in_order_and_once_an_epoch(tmp_path, max_staleness):
    config = config_of(run__num_steps=5, max_staleness=max_staleness)
    world = await World(tmp_path, config, num_prompts=20, delays=7).train()
    used = [group.prompt.prompt_id for step in range(1, 6) for group in world.run.groups[step]]
    assert used == [world_order(world, position).prompt_id for position in range(20)]
    assert sorted(used) == sorted(prompt.prompt_id for prompt in world.prompts)


@settings(deadline=None, max_examples=60)
@given(
    max_staleness=st.integers(0, 2),
    updates_per_step=st.sampled_from([1, 2]),
    resample=st.booleans(),
    max_resamples=st.integers(1, 3),
    num_flat=st.integers(0, 12),
    delays=st.integers(0, 9),
)
def test_no_group_is_staler_than_allowed(
    tmp_path_factory, max_staleness, updates_per_step, resample, max_resamples, num_flat, delays
):
    config = config_of(
        run__num_steps=6,
        max_staleness=max_staleness,
        learner__updates_per_step=updates_per_step,
        grpo={"resample_zero_variance": resample, "max_resamples": max_resamples},
    )
    world = World(tmp_path_factory.getbasetemp(), config, num_prompts=13, delays=delays)
    world.rewards.flat = {prompt.prompt_id for prompt in world.prompts[:num_flat]}
    asyncio.run(world.train())
    for step in range(1, 7):
        learner_version = (step - 1) * updates_per_step
        staleness = [(learner_version - group.weight_version) / updates_per_step for group in world.run.groups[step]]
        assert 0 <= min(staleness) and max(staleness) <= max_staleness
        assert world.run.rows[step]["staleness/max"] == max(staleness)
    if not resample:
        final = [group.weight_version for group in world.run.groups[6]]
        assert final == [(5 - max_staleness) * updates_per_step] * PROMPTS_PER_STEP, "and as stale as it may be"


async def test_groups_without_variance_are_replaced_where_the_config_says_so(tmp_path):
    flat = {f"train/{i}" for i in range(0, 20, 2)}
    for resample in (False, True):
        world = World(tmp_path, config_of(run__num_steps=2, grpo={"resample_zero_variance": resample}))
        world.rewards.flat = flat
        await world.train()
        assert not flat & {name for update in world.trained() for name in update}
        order = [world_order(world, position).prompt_id for position in range(20)]
        used = [group.prompt.prompt_id for step in (1, 2) for group in world.run.groups[step]]
        assert used == order[: len(used)], "none is skipped"
        if resample:
            wanted = [name for name in order if name not in flat][: 2 * PROMPTS_PER_STEP]
            assert [sorted(update) for update in world.trained()] == [sorted(wanted[:4]), sorted(wanted[4:])]
        else:
            assert len(used) == 2 * PROMPTS_PER_STEP


async def test_resampling_ends_at_its_limit_and_the_step_is_done_all_the_same(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=1, grpo={"resample_zero_variance": True, "max_resamples": 3}))
    world.rewards.flat = {prompt.prompt_id for prompt in world.prompts}
    await world.train()
    assert len(world.run.groups[1]) == 3 * PROMPTS_PER_STEP
    assert world.trained() == [[]] and world.learner.weight_version == 1
    assert world.run.rows[1]["groups/zero_variance_share"] == 1


async def test_requests_carry_the_config_and_seeds_of_their_own(tmp_path):
    config = config_of(
        run__num_steps=2, rollout__temperature=0.6, rollout__max_completion_tokens=3, eval__temperature=0.1
    )
    worlds = [await World(tmp_path, config, delays=delays).train() for delays in (0, 9)]
    requests = [request for request, _ in worlds[0].rollouts.requests]
    training = [request for request in requests if request.prompt.prompt_id.startswith("train")]
    assert {(r.num_samples, r.temperature, r.max_completion_tokens) for r in training} == {(GROUP_SIZE, 0.6, 3)}
    evaluation = [request for request in requests if request not in training]
    assert {(r.num_samples, r.temperature, r.max_completion_tokens) for r in evaluation} == {(1, 0.1, 3)}
    assert len({request.seed for request in training}) == len(training)
    assert len({request.seed for request in evaluation}) == 3, "the same at every evaluation"
    # seeds depend on the prompt's place, not on when it is asked
    assert {r.seed for r, _ in worlds[1].rollouts.requests} == {request.seed for request in requests}


async def test_a_prompt_that_cant_be_sampled_costs_only_itself(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=1))
    lost = world_order(world, 2).prompt_id
    world.rollouts.unsamplable = {lost, "heldout/1"}
    await world.train()
    assert [bool(group.failure) for group in world.run.groups[1]] == [False, False, True, False]
    assert "too long" in world.run.groups[1][2].failure
    assert world.run.rows[1]["groups/failed"] == 1
    assert lost not in world.trained()[0] and len(world.trained()[0]) == 3
    assert world.run.rows[1]["eval/reward/count"] == 2


async def test_a_step_in_which_nothing_can_be_sampled_is_passed_over(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=2))
    world.rollouts.unsamplable = {world_order(world, number).prompt_id for number in range(4)}
    await world.train()
    assert world.run.rows[1]["groups/failed"] == world.run.rows[1]["groups/count"] == 4
    assert world.run.rows[2]["groups/failed"] == 0 and len(world.trained()[-1]) == 4


async def test_a_run_that_can_sample_nothing_ends_with_the_reason(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=20))
    world.rollouts.unsamplable = {prompt.prompt_id for prompt in world.prompts}
    with pytest.raises(DataError, match=r"nothing could be trained on for 10 steps: .+"):
        await world.train()
    assert len(world.run.rows) == 10


async def test_too_many_samples_that_cant_be_judged_end_the_run(tmp_path):
    world = World(tmp_path, config_of(rewards__max_invalid_share=0.2))
    world.rewards.invalid = {world_order(world, 5).prompt_id}
    with pytest.raises(RewardError, match=r"can't be judged.*step=2.*got=0\.25.*max_invalid_share = 0\.2"):
        await world.train()
    assert list(world.run.rows) == [0, 1] and list(world.run.checkpoints) == [1]


ERRORS = [
    RolloutFleetExhausted("no rollout actor is left"),
    RewardError("the pool is gone"),
    ZeroDivisionError("a bug"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("max_staleness", [0, 2])
async def test_what_goes_wrong_ends_the_run_with_its_own_error_and_the_state_saved(tmp_path, error, max_staleness):
    world = World(
        tmp_path, config_of(run__num_steps=9, max_staleness=max_staleness, checkpoint__every_steps=2), delays=5
    )
    world.rollouts.error_at = {world_order(world, 13).prompt_id: error}  # of the fourth step
    with pytest.raises(type(error), match=str(error)):
        await world.train()
    assert list(world.run.checkpoints) == [2, 3]
    assert world.run.checkpoints[3][1] == {"step": 3, "position": 12, "weight_version": 3, "unlogged": None}
    assert len(asyncio.all_tasks()) == 1, "nothing is left running"


async def test_a_lost_learner_is_not_asked_to_save(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=9, max_staleness=1, checkpoint__every_steps=2))
    world.learner.error_at = {4: LearnerError("rank 1 died")}
    with pytest.raises(LearnerError, match="rank 1 died"):
        await world.train()
    assert list(world.run.checkpoints) == [2] and list(world.run.rows) == [0, 1, 2, 3]
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("max_staleness", [0, 1])
async def test_a_stop_while_sampling_saves_the_last_whole_step(tmp_path, max_staleness):
    world = World(tmp_path, config_of(run__num_steps=9, max_staleness=max_staleness))
    world.run.stop_at = ("rollout", 3)
    with pytest.raises(RunInterrupted):
        await world.train()
    assert list(world.run.rows) == [0, 1, 2]
    assert world.run.checkpoints[2][1] == {"step": 2, "position": 8, "weight_version": 2, "unlogged": None}
    assert len(asyncio.all_tasks()) == 1


async def test_a_stop_before_the_first_step_leaves_nothing_to_save(tmp_path):
    for stop_at in (("eval", 1), ("rollout", 1)):
        world = World(tmp_path, config_of())
        world.run.stop_at = stop_at
        with pytest.raises(RunInterrupted):
            await world.train()
        assert world.run.checkpoints == {}


def comparable(row):
    return {name: value for name, value in row.items() if not name.startswith(("time/", "throughput/"))}


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("stop_at", [("rollout", 4), ("rollout", 8), None])
async def test_a_resumed_run_equals_one_that_was_never_interrupted(tmp_path, stop_at, resample):
    grpo = {"resample_zero_variance": resample, "max_resamples": 2}
    config = config_of(run__num_steps=10, checkpoint__every_steps=5, eval__every_steps=4, grpo=grpo)
    flat = {f"train/{i}" for i in range(0, 20, 3)}

    def world(resumed=None):
        made = World(tmp_path, config, resumed=resumed)
        made.rewards.flat = flat
        return made

    whole = await world().train()
    first = world()
    first.run.stop_at = stop_at
    if stop_at:
        with pytest.raises(RunInterrupted):
            await first.train()
    else:  # a kill: what counts is the checkpoint of step 5
        await first.train()
        first.run.checkpoints = {5: first.run.checkpoints[5]}
    last = max(first.run.checkpoints)
    second = await world(resumed=first.run.checkpoints[last]).train()
    assert list(second.run.rows) == list(range(last + 1, 11))
    assert second.learner.weights == whole.learner.weights
    assert [g.prompt.prompt_id for s in range(last + 1, 11) for g in second.run.groups[s]] == [
        g.prompt.prompt_id for s in range(last + 1, 11) for g in whole.run.groups[s]
    ]
    for step, row in second.run.rows.items():
        assert comparable(row) == comparable(whole.run.rows[step])


@pytest.mark.parametrize("num_steps", [4, 9])
async def test_an_evaluation_that_was_interrupted_is_made_up_for(tmp_path, num_steps):
    # the stop falls into the evaluation of step 4, which may be the run's last: its row is written after the resume
    config = config_of(run__num_steps=num_steps, eval__every_steps=4)
    whole = await World(tmp_path, config).train()
    first = World(tmp_path, config)
    first.run.stop_at = ("eval", 2)
    with pytest.raises(RunInterrupted):
        await first.train()
    assert list(first.run.rows) == [0, 1, 2, 3] and list(first.run.checkpoints) == [4]
    second = await World(tmp_path, config, resumed=first.run.checkpoints[4]).train()
    assert list(second.run.rows) == list(range(4, num_steps + 1))
    made_up, expected = comparable(second.run.rows[4]), comparable(whole.run.rows[4])
    assert {name: expected[name] for name in made_up} == made_up
    assert {"eval/reward/mean", "policy/loss", "reward/mean"} <= made_up.keys()
    assert second.learner.weights == whole.learner.weights


async def test_the_shares_of_the_ranks_are_all_of_the_step(tmp_path):
    config = config_of(run__num_steps=1, learner={"num_ranks": 2, "updates_per_step": 2})
    world = await World(tmp_path, config).train()
    (shares,) = world.learner.updates
    assert [len(share) for share in shares] == [2, 2]
    names = [group.prompt.prompt_id for share in shares for step in share for group in step.groups]
    assert sorted(names) == sorted(world_order(world, position).prompt_id for position in range(4))
    assert world.learner.weight_version == 2 and world.rollouts.version == 2


class SlowDisk(Run):
    """A run whose checkpoints are finished when the test says so; the first `faults` of them can't be."""

    def __init__(self, *args, faults=0, **options):
        super().__init__(*args, **options)
        self.may_finish, self.faults, self.threads = threading.Event(), faults, []

    def commit_checkpoint(self, step, state):
        assert self.may_finish.wait(10)
        self.threads.append(threading.current_thread())
        if self.faults:
            self.faults -= 1
            shutil.rmtree(self._folder / f"{step}-{len(self.checkpoints)}")
            raise CheckpointError("no space left on device")
        super().commit_checkpoint(step, state)


def with_slow_disk(tmp_path, release_at, **options):
    config = config_of(run__num_steps=4, checkpoint__every_steps=2)
    world = World(tmp_path, config)
    world.run = SlowDisk(world.events, Path(tempfile.mkdtemp(dir=tmp_path)), **options)
    log = world.run.log

    def release(step, metrics, groups):
        log(step, metrics, groups)
        if step == release_at:
            world.run.may_finish.set()

    world.run.log = release
    return world


async def test_a_checkpoint_is_finished_beside_the_next_steps_with_its_own_state(tmp_path):
    world = await with_slow_disk(tmp_path, release_at=3).train()
    events = world.events
    assert events.index("log 3") < events.index("saved 2") < events.index("saved 4") == len(events) - 1
    folder, state = world.run.checkpoints[2]
    assert (state["step"], state["position"], state["weight_version"]) == (2, 8, 2)
    assert json.loads((folder / "state.json").read_text())[0] == 2
    assert threading.main_thread() not in world.run.threads


async def test_a_checkpoint_that_fails_beside_the_next_steps_is_an_alarm(tmp_path):
    world = await with_slow_disk(tmp_path, release_at=3, faults=1).train()
    (alarm,) = world.run.alarms
    assert "step 2 was not saved" in alarm and sorted(world.run.checkpoints) == [4]


async def test_a_run_waits_for_its_last_checkpoint_and_fails_without_it(tmp_path):
    world = with_slow_disk(tmp_path, release_at=3, faults=9)
    with pytest.raises(CheckpointError, match="no space left"):
        await world.train()
    assert not world.run.checkpoints


async def test_a_checkpoint_that_is_never_finished_is_a_missed_deadline(tmp_path):
    world = with_slow_disk(tmp_path, release_at=None)
    world.config = config_of(run__num_steps=4, checkpoint__every_steps=2, deadlines__checkpoint_s=0.2)
    with pytest.raises(DeadlineExceeded, match=r"not on the disk after 0\.2 s"):
        await world.train()
    world.run.may_finish.set()


async def test_a_checkpoint_that_is_asked_for_while_groups_are_sampled_is_saved_then(tmp_path):
    """A node will go: the finished steps are saved at once, and the run that resumes from there is the same."""
    whole = await World(tmp_path, config_of(run__num_steps=4)).train()
    first = World(tmp_path, config_of(run__num_steps=4))
    sample, asked = first.rollouts.sample, []

    async def sample_and_ask(request):
        if first.learner.weight_version == 2 and not asked:
            asked.append(request)
            first.run.checkpoint_request.set()
            while 2 not in first.run.checkpoints:  # the groups of the step come after the checkpoint
                await asyncio.sleep(0)
        return await sample(request)

    first.rollouts.sample = sample_and_ask
    await first.train()
    assert asked and sorted(first.run.checkpoints) == [2, 4] and not first.run.checkpoint_request.is_set()
    assert first.learner.weights == whole.learner.weights
    second = await World(tmp_path, config_of(run__num_steps=4), resumed=first.run.checkpoints[2]).train()
    assert second.learner.weights == whole.learner.weights


async def test_a_checkpoint_that_is_asked_for_during_an_update_is_saved_after_the_step(tmp_path):
    world = World(tmp_path, config_of(run__num_steps=3))
    update = world.learner.update

    async def update_and_ask(shares):
        if world.learner.weight_version == 1:
            world.run.checkpoint_request.set()
        return await update(shares)

    world.learner.update = update_and_ask
    await world.train()
    assert sorted(world.run.checkpoints) == [2, 3]
