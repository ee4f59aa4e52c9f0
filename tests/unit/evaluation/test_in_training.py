"""Benchmarks at the evaluations of a training run: metrics by rule, under names of the table."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from evaluating import letters

from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.in_training import HeldOut, evaluate
from vlaa_ray.monitoring.names import describe
from vlaa_ray.records import Completion, SampledGroup

CONFIG = GrpoConfig.model_validate(
    {"run": {"name": "x", "num_steps": 1}, "model": {"path": "builtin:tiny-base"}, "rollout": {"max_num_seqs": 1}}
)


class Rollouts:
    """Answers A to each row but row 7, which it refuses; it counts the requests at once."""

    def __init__(self):
        self.at_once = self.most_at_once = 0

    async def sample(self, request):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if request.prompt.prompt_id == "Letters/7":
            raise DataError("too long")
        text = "?" if request.prompt.prompt_id == "Letters/5" else "A"
        completion = Completion(
            text=text,
            token_ids=np.zeros(1, np.int32),
            rollout_logprobs=np.zeros(1, np.float32),
            weight_versions=((0, 0, 1),),
            finish_reason="stop",
        )
        return SampledGroup(prompt_token_ids=np.zeros(1, np.int32), completions=(completion,))


class Run:
    def phase(self, name):
        pass

    async def stoppable(self, waiting):
        return await waiting


def test_a_benchmark_is_scored_by_rule_and_what_is_not_settled_counts_as_wrong():
    rollouts = Rollouts()
    roles = SimpleNamespace(rollouts=rollouts, rewards=None)
    metrics = asyncio.run(evaluate(CONFIG, HeldOut([], [letters()]), roles, Run()))
    of_benchmark = {name: value for name, value in metrics.items() if "benchmark" in name}
    assert of_benchmark == {
        "eval/benchmark/Letters/score": 50.0,  # rows 0, 2, 4 and 6 of 8
        "eval/benchmark/Letters/overall": 50.0,
        "eval/benchmark/Letters/worst_case": 0.0,
        "eval/benchmark/Letters/odd": 8.0,
        "eval/benchmark/Letters/unsettled_share": pytest.approx(1 / 8),
        "eval/benchmark/Letters/unanswered_share": pytest.approx(1 / 8),
    }
    assert rollouts.most_at_once == 2  # twice the sequences of the engine
    assert {describe(name).when for name in of_benchmark} == {"eval.benchmarks names it"}


def test_records_and_two_benchmarks_of_one_name_are_refused():
    for benchmarks in ([{"name": "a", "data": "x", "records": True}], [{"name": "a", "data": "x"}] * 2):
        values = CONFIG.model_dump() | {"eval": {"benchmarks": benchmarks}}
        with pytest.raises(ValueError, match=r"data\.heldout|a name of its own"):
            GrpoConfig.model_validate(values)
