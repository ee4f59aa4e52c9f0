"""What is given to the learner, and when; `test_loop.py` runs the loop with it."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.algorithms.step_plan import Dealer
from vlaa_ray.config import GrpoConfig, LearnerSection
from vlaa_ray.errors import LearnerError
from vlaa_ray.records import Completion, Group, Prompt, RewardResult, Rollout
from vlaa_ray.streaming import StreamedLearning

LIMIT = 20


def group(position, rewards=(0.0, 1.0), tokens=4, finish_reason="stop"):
    """A group of `tokens` prompt tokens and as many inputs of each completion."""
    prompt = Prompt(prompt_id=str(position), question="?", gold=1, verifier_type="digit", source="test")
    completion = Completion(
        text="",
        token_ids=np.ones(tokens + 1, dtype=np.int32),
        rollout_logprobs=np.zeros(tokens + 1, dtype=np.float32),
        weight_versions=((0, 0, tokens + 1),),
        finish_reason=finish_reason,
    )
    rollouts = tuple(
        Rollout(completion=completion, reward=RewardResult(value=value, valid=value is not None)) for value in rewards
    )
    return Group(prompt=prompt, position=position, prompt_token_ids=np.ones(tokens, dtype=np.int32), rollouts=rollouts)


def config_of(num_ranks=1, updates_per_step=1, **grpo):
    limits = {"max_prompt_tokens": 8, "max_completion_tokens": 8}
    learner = {"micro_batch_tokens": LIMIT, "num_ranks": num_ranks, "updates_per_step": updates_per_step}
    values = {"run": {"name": "test", "num_steps": 3}, "model": {"path": "none"}, "rollout": limits}
    return GrpoConfig.model_validate({**values, "learner": learner, "grpo": grpo})


class Learner:
    weight_version = 0

    def __init__(self):
        self.calls, self.may_go, self.error = [], asyncio.Event(), None
        self.may_go.set()

    async def accumulate(self, shares):
        await self.may_go.wait()
        if self.error:
            raise self.error
        self.calls.append([[one.position for one in share] for share in shares])

    async def update(self, shares):
        self.calls.append([[[one.position for one in step.groups] for step in share] for share in shares])
        self.last = shares
        return {"policy/loss": 0.5}


async def learned(learner, config, groups):
    async with StreamedLearning(config, learner) as learning:
        for one in groups:
            learning.add(one)
            await asyncio.sleep(0)
    learning.groups()
    return await learning.finish()


async def test_full_parts_are_learned_at_once_and_the_rest_with_the_optimizer_step():
    learner, config = Learner(), config_of()
    groups = [group(number) for number in range(4)]  # 12 tokens each: one fits a part of 20
    async with StreamedLearning(config, learner) as learning:
        for one in groups:
            learning.add(one)
        await asyncio.sleep(0.01)
        assert learner.calls == [[[0]], [[1]], [[2]]]
    assert [one.rollouts[1].advantage for one in learning.groups()] == pytest.approx([2**-0.5] * 4, rel=1e-3)
    assert await learning.finish() == {"policy/loss": 0.5}
    assert learner.calls[3:] == [[[[3]]]]
    ((last,),) = learner.last
    assert (last.num_sequences, last.num_tokens) == (8, 40)  # of the whole step: what its averages divide by


async def test_groups_without_a_gradient_are_counted_and_not_dealt():
    learner = Learner()
    await learned(learner, config_of(), [group(0, (1.0, 1.0)), group(1), group(2, (None, 1.0)), group(3)])
    assert learner.calls == [[[1]], [[[3]]]]
    assert learner.last[0][0].num_sequences == 8


async def test_replaced_groups_are_neither_counted_nor_dealt():
    learner = Learner()
    config = config_of(resample_zero_variance=True)
    await learned(learner, config, [group(0, (1.0, 1.0)), group(1), group(2)])
    assert learner.calls == [[[1]], [[[2]]]]
    assert learner.last[0][0].num_sequences == 4


@pytest.mark.parametrize("settings_", [{"updates_per_step": 2}, {"advantage": "reinforce_pp"}])
async def test_what_needs_all_groups_waits_for_them(settings_):
    learner = Learner()
    await learned(learner, config_of(**settings_), [group(number) for number in range(4)])
    assert len(learner.calls) == 1


async def test_a_failure_of_the_learner_ends_the_sampling_and_comes_out_once():
    learner = Learner()
    learner.error = LearnerError("lost")
    with pytest.raises(LearnerError, match="lost"):
        await learned(learner, config_of(), [group(number) for number in range(9)])


async def test_a_step_that_is_given_up_is_not_learned_further():
    learner = Learner()
    learner.may_go.clear()
    with pytest.raises(RuntimeError):
        async with StreamedLearning(config_of(), learner) as learning:
            for number in range(4):
                learning.add(group(number))
            raise RuntimeError
    learner.may_go.set()
    await asyncio.sleep(0.01)
    assert learner.calls == []


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 4))
def test_dealing_keeps_every_group_in_order_and_the_limit(sizes, num_ranks):
    dealer = Dealer(LearnerSection(num_ranks=num_ranks, micro_batch_tokens=LIMIT))
    parts = []
    for number, tokens in enumerate(sizes):
        if part := dealer.add(_advantaged(group(number, tokens=tokens))):
            parts.append(part)
    parts.append(dealer.rest())
    assert sorted(one.position for part in parts for share in part for one in share) == list(range(len(sizes)))
    for part, following in pairwise(parts):
        last = max(one.position for share in part for one in share)
        assert all(one.position > last for share in following for one in share)
    for part in parts:
        assert len(part) == num_ranks
        for share in part:
            tokens = [3 * sizes[one.position] for one in share]
            assert [one.position for one in share] == sorted(one.position for one in share)
            assert sum(tokens) <= LIMIT or len(tokens) == 1


def _advantaged(one):
    rollouts = tuple(Rollout(completion=r.completion, reward=r.reward, advantage=1.0) for r in one.rollouts)
    return Group(prompt=one.prompt, position=one.position, prompt_token_ids=one.prompt_token_ids, rollouts=rollouts)
