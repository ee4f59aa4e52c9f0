"""An evaluation's config in the pools, its plan, and the engines' lost actors, on fake handles."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest
import ray
from evaluating import SAMPLING, letters
from handles import Handle
from ray.exceptions import ActorDiedError

from actors.drivers.evaluation import _fleet_of, _plan
from actors.fleet import placement
from actors.fleet.role_pools import RolloutPool
from vlaa_ray.config import EvalConfig
from vlaa_ray.evaluation.answers import AnswerWriter, StoredAnswers
from vlaa_ray.evaluation.asking import Asking
from vlaa_ray.evaluation.samplers import EngineSampler
from vlaa_ray.records import Completion, SampledGroup

RECORDS = {"name": "mine", "data": "x", "records": True}


def config(**sections):
    return EvalConfig.model_validate({"conditions": {"name": "x"}, **sections})


@pytest.mark.parametrize(("num_samples", "expected"), [(1, 16), (4, 4), (64, 2)])
def test_an_engine_gets_twice_the_sequences_that_it_decodes_at_once(num_samples, expected):
    rollout = {"max_num_seqs": 8, "num_samples": num_samples, "temperature": 1}
    assert config(rollout=rollout).requests_per_engine == expected


def test_only_what_is_needed_is_reserved():
    benchmarks = [{"name": "MathVista", "data": "x"}]
    engines = {"num_actors": 2, "cpus_per_actor": 3}
    assert config(benchmarks=benchmarks, rollout=engines).bundles() == {"rollout": [{"CPU": 3}] * 2, "reward": []}
    both = config(benchmarks=[*benchmarks, RECORDS])
    assert _plan(both, asks_engines=True).total_cpus == 1.5
    assert _plan(both, asks_engines=False).reserved() == [{"CPU": 0.5}]
    remote = config(benchmarks=[RECORDS], endpoint={"url": "http://localhost:1/v1"})
    assert remote.bundles()["rollout"] == []


async def test_a_lost_engine_is_replaced_and_no_row_is_lost(killed, tmp_path):
    def sample(request):
        completion = Completion(
            text="A",
            token_ids=np.zeros(2, np.int32),
            rollout_logprobs=np.zeros(2, np.float32),
            weight_versions=((0, 0, 2),),
            finish_reason="stop",
        )
        return SampledGroup(prompt_token_ids=np.zeros(1, np.int32), completions=(completion,))

    handles = [Handle("first", sample=[sample, sample, ActorDiedError()]), Handle("second", sample=[sample])]
    spawned, notes = iter(handles), []
    pool = RolloutPool(config(), lambda index, avoided: next(spawned), notes.append)
    await pool.start()
    path = tmp_path / "answers.jsonl"
    asking = Asking(SAMPLING, [letters()], StoredAnswers(path))
    with AnswerWriter(path) as writer:
        await asyncio.wait_for(asking.run(EngineSampler(pool), writer, 4, lambda *_: None), 10)
    assert killed == handles[:1] and len(notes) == 1
    stored = StoredAnswers(path)
    assert len(stored) == 8 and len(path.read_text().splitlines()) == 8


async def test_the_end_of_ray_is_no_loss_that_a_pool_makes_good(killed, monkeypatch):
    handle, spawned, notes = Handle("only"), [], []
    monkeypatch.setattr(placement, "start_ray", lambda *_: None)
    monkeypatch.setattr(ray, "shutdown", handle.die)
    async with _fleet_of(config(), asks_engines=True) as fleet:
        fleet.rollouts = RolloutPool(config(), lambda index, avoided: spawned.append(index) or handle, notes.append)
        await fleet.rollouts.start()
    await asyncio.sleep(0.01)
    assert (spawned, notes, killed) == ([0], [], [])


def test_a_call_to_ray_without_a_run_fails_and_starts_no_ray():
    code = "import actors, ray; ray.nodes()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode and "Ray has not been started yet" in done.stderr, done.stderr
