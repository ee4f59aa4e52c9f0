"""Actors that join, leave, die and hang in any order, beside weight syncs: the run learns the same.

The loop, buffer, pools, weight sync and books are the product's; actors and the clock are simulated.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated import Preempted, SimulatedEngine, SimulatedRank, SimulatedRewards
from virtual_time import EndlessWait, run_virtually

from actors.fleet.restarting_ranks import RestartingRanks
from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.fleet.sizes import FleetSizes
from actors.fleet.weight_sync import WeightSync
from vlaa_ray.config import GrpoConfig
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.records import Prompt
from vlaa_ray.roles import Roles
from vlaa_ray.run.checkpoints import Checkpoint

STEPS, PROMPTS, GROUP = 4, 4, 2
LIMIT_S = 5_000.0
"""The virtual seconds that a run may take: an undisturbed one takes about 20."""


def config_of(max_staleness=0):
    return GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": STEPS, "seed": 3},
            "model": {"path": "none"},
            "rollout": {
                "num_actors": 2,
                "min": 1,
                "max": 4,
                "resize_every_s": 3,
                "prompts_per_step": PROMPTS,
                "group_size": GROUP,
                "max_prompt_tokens": 4,
                "max_completion_tokens": 4,
                "max_restarts": 100,
            },
            "rewards": {"num_actors": 1, "max": 2, "max_restarts": 100, "resize_every_s": 3},
            "learner": {"micro_batch_tokens": 8, "num_ranks": 2, "max_restarts": 100},
            "deadlines": {
                "learn_s": 20,
                "checkpoint_s": 20,
                "rollout_s": 20,
                "reward_s": 20,
                "start_s": 30,
                "provision_s": 40,
                "weight_sync_s": 20,
            },
            "checkpoint": {"every_steps": 2},
            "eval": {"every_steps": 100},
            "max_staleness": max_staleness,
        }
    )


class World:
    """A cluster of nodes in one process; every engine and reward actor gets a node of its own."""

    def __init__(self, config, starts=()):
        self.config, self._starts = config, list(starts)
        self.actors, self.notes, self.draining = {}, [], {}
        self.ranks, self.rank_counts = [], []
        self.faults_may_begin = False

    def spawn(self, make):
        def spawn(index, avoided):
            slow = self.faults_may_begin and self._starts  # the first ones must start, or the run says why not
            place_s, start_s = self._starts.pop() if slow else (0.1, 0.5)
            node = f"node {len(self.actors)}"
            self.actors[node] = make(node, place_s=place_s, start_s=start_s)
            return self.actors[node]

        return spawn

    async def train(self, folder):
        run = Run(folder)

        def spawn_rank(rank):
            self.ranks[rank:] = [SimulatedRank(rank, "learner")]
            return self.ranks[rank]

        learner = RestartingRanks(self.config, Places(spawn_rank, self.rank_counts), run)
        rollouts = RolloutPool(
            self.config, self.spawn(lambda node, **times: SimulatedEngine(node, 0.4, **times)), self.notes.append
        )
        rewards = RewardPool(self.config, self.spawn(SimulatedRewards), self.notes.append)
        self.pools = [rollouts.pool, rewards.pool]
        await asyncio.gather(learner.start(), rollouts.start(), rewards.start())
        roles = Roles(
            rollouts=rollouts,
            rewards=rewards,
            learner=learner,
            weight_sync=WeightSync(self.config, learner, rollouts),
            fleet=FleetSizes(self.config, rollouts, rewards, self.notes.append),
        )
        prompts = [
            Prompt(prompt_id=f"p{i}", question="?", gold=1, verifier_type="digit", source="t") for i in range(12)
        ]
        self.faults_may_begin = True
        await train(self.config, prompts, HeldOut(prompts[:1]), roles, run)
        await asyncio.gather(*(pool.close() for pool in self.pools))
        return run, self.ranks[0]._state.weights

    def some(self, pick):
        """The actor that a fault hits: one that was started and is not gone."""
        alive = [actor for actor in self.actors.values() if not actor.death.done()]
        return alive[pick % len(alive)] if alive else None

    def strike_rank(self, fault):
        """A rank is lost; after "fewer ranks" there is room for one only when they start again."""
        rank = self.ranks[fault.pick % len(self.ranks)]
        if fault.kind == "hang rank":
            rank.hangs = True
        else:
            self.rank_counts += [1] * (fault.kind == "fewer ranks")
            rank.die()

    def drain(self, actor, seconds):
        """The node of the actor is told to go, and is gone after so many seconds."""
        for pool in self.pools:
            pool.drain(actor.node, seconds)
        asyncio.get_running_loop().call_later(seconds, actor.die, Preempted())


@dataclass
class Places:
    """The places of the ranks. `counts` says for each start after a loss how many have room, at first all; then all."""

    spawn: Callable
    counts: list
    num_asked: int = 0

    async def respawn(self):
        self.num_asked = 0
        return [self.spawn(rank) for rank in range(self.counts.pop(0) if self.counts else 2)]

    async def has_room(self):
        self.num_asked += 1
        return self.num_asked > 2

    async def respawn_all(self):
        return [self.spawn(rank) for rank in range(2)]

    def is_leaving(self):
        return False


@dataclass
class Run:
    folder: Path
    rows: dict = field(default_factory=dict)
    checkpoints: list = field(default_factory=list)
    checkpoint_request: asyncio.Event = field(default_factory=asyncio.Event)
    resume_state = resume_folder = None

    def phase(self, name):
        pass

    def log(self, step, metrics, groups=()):
        self.rows[step] = (metrics, [group.prompt.prompt_id for group in groups])

    def study(self, groups):
        return {}

    def alarm(self, message):
        """A lost rank costs the checkpoint that it was writing, and nothing else."""
        assert "a learner rank was lost while its checkpoint was written" in message, message

    def begin_checkpoint(self, step):
        return self.folder / f"step_{step}"

    def commit_checkpoint(self, step, state):
        self.checkpoints.insert(0, Checkpoint(step=step, path=self.folder / f"step_{step}", state=state))

    def saved_checkpoints(self):
        return self.checkpoints

    def note(self, text):
        pass

    async def stoppable(self, waiting):
        return await waiting


@dataclass(frozen=True)
class Fault:
    after_s: float
    kind: str
    pick: int
    seconds: float


FAULTS = st.lists(
    st.builds(
        Fault,
        after_s=st.floats(0, 12),
        kind=st.sampled_from(
            ["kill", "hang", "drain", "preempt", "grow", "shrink", "kill rank", "hang rank", "fewer ranks"]
        ),
        pick=st.integers(0, 9),
        seconds=st.floats(0, 8),
    ),
    max_size=12,
)
STARTS = st.lists(st.tuples(st.floats(0, 50), st.floats(0, 40)), max_size=6)


async def strike(world, faults):
    """Do the faults, each some time after the one before."""
    for fault in faults:
        await asyncio.sleep(fault.after_s)
        actor = world.some(fault.pick)
        pool = world.pools[0]
        match fault.kind:
            case "kill" if actor:
                actor.die()
            case "hang" if actor:
                actor.hangs = True
            case "drain" if actor:
                world.drain(actor, fault.seconds)
            case "preempt" if actor:
                actor.die(Preempted())
            case "kill rank" | "hang rank" | "fewer ranks":
                world.strike_rank(fault)
            case "grow":
                pool.resize(min(4, pool.target + 1))
            case "shrink":
                pool.resize(max(1, pool.target - 1))


async def run_with(config, faults, starts, folder):
    world = World(config, starts)
    training = asyncio.ensure_future(world.train(folder))
    while not training.done() and not world.faults_may_begin:
        await asyncio.sleep(0.1)
    striking = asyncio.ensure_future(strike(world, faults))
    try:
        return await training, world
    finally:
        striking.cancel()


@pytest.fixture
def simulated(monkeypatch):
    async def line():
        return "a simulated cluster"

    async def inline(function, *args):
        return function(*args)

    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr("vlaa_ray.monitoring.clock.time", clock)
    monkeypatch.setattr("actors.fleet.joining.free_line", line)
    monkeypatch.setattr("asyncio.to_thread", inline)
    monkeypatch.setattr("ray.kill", lambda actor: actor.die())
    monkeypatch.setattr("actors.fleet.restarting_ranks.verify_for_ranks", lambda config, folder: None)


def undisturbed(config, folder):
    ((run, weights), _), seconds = run_virtually(run_with(config, [], [], folder), LIMIT_S)
    return run, weights, seconds


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=FAULTS, starts=STARTS, max_staleness=st.sampled_from([0, 0, 1]))
def test_any_order_of_joins_losses_and_syncs_ends_with_exact_books(simulated, tmp_path, faults, starts, max_staleness):
    config = config_of(max_staleness)
    expected, weights, _ = undisturbed(config, tmp_path / "undisturbed")
    ((run, got), _), _ = run_virtually(run_with(config, faults, starts, tmp_path / "disturbed"), LIMIT_S)
    assert list(run.rows) == list(range(STEPS + 1)) and run.checkpoints[0].step == STEPS
    for step in range(1, STEPS + 1):
        metrics, prompt_ids = run.rows[step]
        ends = sum(value for name, value in metrics.items() if name.startswith(("ledger/trained", "ledger/dropped")))
        assert ends == PROMPTS * GROUP and prompt_ids == expected.rows[step][1]
        assert 0 <= metrics["staleness/max"] <= max_staleness
    same_ranks = all(fault.kind != "fewer ranks" for fault in faults)  # the weights are a hash of what a rank learned
    if same_ranks and not max_staleness:  # every token comes from the weights of its step, whoever sampled it
        assert got == weights


def test_the_undisturbed_run_is_quick_and_grows(simulated, tmp_path):
    run, _, seconds = undisturbed(config_of(), tmp_path)
    assert seconds < 60 and run.rows[STEPS][0]["rollout/replicas_wanted"] > 2


def test_a_learner_that_lost_a_rank_for_good_grows_back(simulated, tmp_path):
    config, faults = config_of(), [Fault(3, "fewer ranks", 0, 0)]
    ((run, _), _), _ = run_virtually(run_with(config, faults, [], tmp_path), LIMIT_S)
    counts = [run.rows[step][0]["learner/ranks"] for step in range(1, STEPS + 1)]
    assert 1 in counts and counts[-1] == 2, counts


def test_a_wait_without_an_end_is_found():
    async def waits():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(EndlessWait):
        run_virtually(waits(), None)
