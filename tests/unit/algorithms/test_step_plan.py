import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.algorithms.step_plan import group_has_variance, optimizer_steps, with_advantages
from vlaa_ray.config import GrpoSection, LearnerSection
from vlaa_ray.errors import RewardError
from vlaa_ray.records import Completion, Group, Prompt, RewardResult, Rollout

STD, MEAN = GrpoSection(), GrpoSection(advantage="mean_only")
OVERLONG = GrpoSection(mask_overlong=True)


def rollout(reward, num_tokens=2, *, cut=False):
    """`reward` None: can't be judged."""
    completion = Completion(
        text="",
        token_ids=np.ones(num_tokens, dtype=np.int32),
        rollout_logprobs=np.zeros(num_tokens, dtype=np.float32),
        weight_versions=((0, 0, num_tokens),),
        finish_reason="length" if cut else "stop",
    )
    return Rollout(completion=completion, reward=RewardResult(value=reward, valid=reward is not None))


def group(*rollouts, name="p", prompt_tokens=3):
    prompt = Prompt(prompt_id=name, question="?", gold=1, verifier_type="digit", source="test")
    return Group(prompt=prompt, position=0, prompt_token_ids=np.zeros(prompt_tokens, dtype=np.int32), rollouts=rollouts)


def advantages(of, grpo=STD):
    (result,) = with_advantages([of], grpo)
    return [one.advantage for one in result.rollouts]


def test_advantages_by_hand():
    # rewards 0, 1, 1, 0: mean 1/2, sample deviation sqrt((4 · 1/4) / 3)
    four = group(*map(rollout, (0.0, 1.0, 1.0, 0.0)))
    expected = 0.5 / (math.sqrt(1 / 3) + 1e-4)
    assert advantages(four) == pytest.approx([-expected, expected, expected, -expected])
    assert advantages(four, MEAN) == pytest.approx([-0.5, 0.5, 0.5, -0.5])


def test_with_a_kl_term_groups_without_variance_keep_its_gradient():
    flat = group(rollout(1.0), rollout(1.0), rollout(None))
    assert advantages(flat) == [None, None, None]
    assert advantages(flat, GrpoSection(kl={"coefficient": 0.1})) == [0.0, 0.0, None]


@pytest.mark.parametrize("name", ["std", "reinforce_pp"])
def test_replaced_groups_keep_the_gradient_of_a_kl_term_and_enter_no_statistic(name):
    grpo = GrpoSection(advantage=name, resample_zero_variance=True, kl={"coefficient": 0.1})
    pair, flat = group(rollout(0.0), rollout(1.0)), group(rollout(1.0), rollout(None), rollout(1.0))
    alone, (found, replaced) = with_advantages([pair], grpo), with_advantages([pair, flat], grpo)
    assert [one.advantage for one in replaced.rollouts] == [0.0, None, 0.0]
    assert [one.advantage for one in found.rollouts] == [one.advantage for one in alone[0].rollouts]


def test_groups_that_were_replaced_do_not_count():
    resampled = GrpoSection(resample_zero_variance=True)
    groups = with_advantages([group(rollout(0.0), rollout(1.0)), group(rollout(1.0), rollout(1.0))], STD)
    for grpo, sequences, tokens in ((STD, 4, 8), (resampled, 2, 4)):
        ((step,),) = optimizer_steps(groups, grpo, LearnerSection())
        assert (step.num_sequences, step.num_tokens, len(step.groups)) == (sequences, tokens, 1)


def test_what_cant_be_judged_is_in_no_mean_and_gets_no_advantage():
    # of 1, (none), 0: mean 1/2, sample deviation sqrt(1/2)
    three = group(rollout(1.0), rollout(None), rollout(0.0))
    expected = 0.5 / (math.sqrt(0.5) + 1e-4)
    assert advantages(three) == [pytest.approx(expected), None, pytest.approx(-expected)]
    # a value that comes with valid=False counts as little
    odd = Rollout(completion=rollout(1.0).completion, reward=RewardResult(value=9.0, valid=False))
    assert advantages(group(rollout(1.0), odd, rollout(0.0)), MEAN) == [0.5, None, -0.5]


@pytest.mark.parametrize(
    "rollouts",
    [
        (),
        (rollout(1.0),),
        (rollout(0.5), rollout(0.5), rollout(0.5)),
        (rollout(None), rollout(None)),
        (rollout(1.0), rollout(None)),
        (rollout(0.1 + 0.2), rollout(0.3)),  # rounding is no difference
    ],
)
def test_groups_without_variance_get_no_gradient(rollouts):
    assert not group_has_variance(group(*rollouts))
    assert advantages(group(*rollouts)) == [None] * len(rollouts)


def test_overlong_completions_count_in_the_mean_but_get_no_gradient_where_masked():
    cut = group(rollout(1.0), rollout(0.0), rollout(0.0, cut=True))
    third = 1 / 3
    assert advantages(cut, GrpoSection(advantage="mean_only")) == pytest.approx([2 * third, -third, -third])
    masked = advantages(cut, GrpoSection(advantage="mean_only", mask_overlong=True))
    assert masked == [pytest.approx(2 * third), pytest.approx(-third), None]


def test_a_reward_that_is_no_number_is_an_error():
    with pytest.raises(RewardError, match="not a finite number"):
        with_advantages([group(rollout(math.nan), rollout(1.0))], STD)


def test_batch_wide_advantages_train_groups_without_variance_too():
    # rewards 1, 1 | 0, 1 (one can't be judged): mean 3/4, population std sqrt(3/16)
    groups = [group(rollout(1.0), rollout(1.0)), group(rollout(0.0), rollout(1.0), rollout(None))]
    low, high = -0.75 / math.sqrt(3 / 16), 0.25 / math.sqrt(3 / 16)
    first, second = with_advantages(groups, GrpoSection(advantage="reinforce_pp"))
    assert [one.advantage for one in first.rollouts] == pytest.approx([high, high])
    assert [one.advantage for one in second.rollouts] == [pytest.approx(low), pytest.approx(high), None]
    baseline = with_advantages(groups, GrpoSection(advantage="reinforce_pp_baseline"))
    assert [one.advantage for one in baseline[0].rollouts] == [None, None]


def test_replaced_groups_are_in_no_statistic_of_the_batch():
    groups = [group(rollout(1.0), rollout(1.0)), group(rollout(0.0), rollout(1.0))]
    replaced, kept = with_advantages(groups, GrpoSection(advantage="reinforce_pp", resample_zero_variance=True))
    assert [one.advantage for one in replaced.rollouts] == [None, None]
    assert [one.advantage for one in kept.rollouts] == pytest.approx([-1.0, 1.0])


def names(step):
    return [one.prompt.prompt_id for one in step.groups]


def test_shares_and_counts_by_hand():
    # tokens (prompt 3 + completions): a 3+4, b 3+2+2, c 3+12, d flat, e 3+8; two updates take a c e | b d
    groups = [
        group(rollout(1.0, 2), rollout(0.0, 2), name="a"),
        group(rollout(1.0, 1), rollout(None, 2), rollout(0.0, 1), name="b"),
        group(rollout(1.0, 6), rollout(0.0, 6, cut=True), name="c"),
        group(rollout(1.0, 5), rollout(1.0, 5), name="d"),
        group(rollout(1.0, 4), rollout(0.0, 4), name="e"),
    ]
    section = LearnerSection(num_ranks=2, updates_per_step=2)
    shares = optimizer_steps(with_advantages(groups, STD), STD, section)
    # within an update the groups go out by length in turn: a(7) to rank 0, e(11) to rank 1, c(15) to rank 0
    assert [[names(step) for step in share] for share in shares] == [[["a", "c"], ["b"]], [["e"], []]]
    for share in shares:
        # first: 2 + 2 + 2 samples, 4 + 12 + 8 tokens; second: 3 + 2 samples (d and what can't be judged too), 4 + 10
        assert [(step.num_sequences, step.num_tokens) for step in share] == [(6, 24), (5, 14)]
    masked = optimizer_steps(with_advantages(groups, OVERLONG), OVERLONG, section)
    assert [(step.num_sequences, step.num_tokens) for step in masked[0]] == [(6, 18), (5, 14)]


def test_a_group_with_nothing_left_to_train_is_left_out():
    only_cut = group(rollout(1.0, cut=True), rollout(0.0, cut=True))
    (share,) = optimizer_steps(with_advantages([only_cut], OVERLONG), OVERLONG, LearnerSection())
    assert share[0].groups == () and (share[0].num_sequences, share[0].num_tokens) == (2, 0)
    (nothing,) = optimizer_steps([], STD, LearnerSection())
    assert (nothing[0].groups, nothing[0].num_sequences, nothing[0].num_tokens) == ((), 0, 0)


REWARDS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, None]), st.integers(1, 30), st.booleans()), max_size=5)


@settings(deadline=None, max_examples=200)
@given(st.lists(REWARDS, max_size=12), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_every_group_with_a_gradient_is_trained_once_and_ranks_are_alike(shapes, num_ranks, num_updates, mask):
    grpo = GrpoSection(mask_overlong=mask)
    groups = with_advantages(
        [group(*(rollout(r, n, cut=cut) for r, n, cut in shape), name=str(i)) for i, shape in enumerate(shapes)], grpo
    )
    shares = optimizer_steps(groups, grpo, LearnerSection(num_ranks=num_ranks, updates_per_step=num_updates))
    assert [len(share) for share in shares] == [num_updates] * num_ranks
    wanted = [str(i) for i, one in enumerate(groups) if any(r.advantage is not None for r in one.rollouts)]
    assert sorted(name for share in shares for step in share for name in names(step)) == sorted(wanted)
    for number in range(num_updates):
        steps = [share[number] for share in shares]
        assert len({(step.num_sequences, step.num_tokens) for step in steps}) == 1
        sizes = [len(step.groups) for step in steps]
        assert max(sizes) - min(sizes) <= 1
        loads = [sum(3 + sum(len(r.completion.token_ids) for r in g.rollouts) for g in step.groups) for step in steps]
        longest = max(
            (3 + sum(len(r.completion.token_ids) for r in g.rollouts) for s in steps for g in s.groups), default=0
        )
        assert max(loads) - min(loads) <= longest
    assert sum(step.num_sequences for step in shares[0]) == sum(map(len, shapes))
