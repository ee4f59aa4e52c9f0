"""The plan of a training step: the advantages of its groups, and the share of each learner rank. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlaa_ray.algorithms.advantages import ADVANTAGES, has_variance
from vlaa_ray.config import GrpoSection, LearnerSection
from vlaa_ray.records import Group, OptimizerStep


def group_has_variance(group: Group) -> bool:
    """Return True if at least two of the group's samples can be judged and have different rewards."""
    return has_variance(*_rewards(group))


def with_advantages(groups: Sequence[Group], grpo: GrpoSection) -> list[Group]:
    """Return the groups of one step with the advantage of each rollout; None for a rollout without a gradient.

    Three kinds of rollouts have no gradient: those that can't be judged; those that are too long, where such rollouts
    are masked; and those of a group without variance, unless the estimator trains on such groups or there is a KL term.

    Raises:
        RewardError: a valid reward is not a finite number.

    """
    estimator = ADVANTAGES[grpo.advantage]
    parts = [_rewards(group) for group in groups]
    numbers = np.repeat(np.arange(len(groups)), [len(group.rollouts) for group in groups])
    rewards = np.concatenate([values for values, _ in parts]) if parts else np.zeros(0)
    valid = np.concatenate([judged for _, judged in parts]) if parts else np.zeros(0, dtype=bool)
    varies = np.array([group_has_variance(group) for group in groups], dtype=bool)
    counted = valid
    if grpo.resample_zero_variance:  # groups without variance were replaced: they are in no statistic of the batch
        counted = valid & varies[numbers]
    advantages = estimator(rewards, counted, numbers)
    trains_flat_groups = estimator.trains_flat_groups and not grpo.resample_zero_variance
    trains = varies | (trains_flat_groups or grpo.kl.coefficient > 0)
    starts = np.cumsum([0, *(len(group.rollouts) for group in groups)])
    return [
        _assigned(group, advantages[starts[number] : starts[number + 1]], parts[number][1] & trains[number], grpo)
        for number, group in enumerate(groups)
    ]


def optimizer_steps(groups: Sequence[Group], grpo: GrpoSection, learner: LearnerSection) -> list[list[OptimizerStep]]:
    """Return [rank][optimizer step]: the groups with a gradient, shared so that ranks get about as many tokens."""
    groups = [group for group in groups if counts(group, grpo)]
    steps = [groups[start :: learner.updates_per_step] for start in range(learner.updates_per_step)]
    shares: list[list[OptimizerStep]] = [[] for _ in range(learner.num_ranks)]
    for step in steps:
        num_sequences, num_tokens = _sizes(step, grpo)
        trained = sorted(filter(is_trained, step), key=_num_tokens)
        for rank, share in enumerate(shares):
            mine = tuple(trained[rank :: learner.num_ranks])
            share.append(OptimizerStep(groups=mine, num_sequences=num_sequences, num_tokens=num_tokens))
    return shares


def last_part(groups: Sequence[Group], rest: Sequence[Sequence[Group]], grpo: GrpoSection) -> list[list[OptimizerStep]]:
    """Return [rank][1]: the only optimizer step of `groups`, where each rank has only its `rest` still to learn."""
    num_sequences, num_tokens = _sizes([group for group in groups if counts(group, grpo)], grpo)
    return [[OptimizerStep(groups=tuple(mine), num_sequences=num_sequences, num_tokens=num_tokens)] for mine in rest]


def counts(group: Group, grpo: GrpoSection) -> bool:
    """Return True if the group is part of the step: one without variance is not if such groups are replaced."""
    return not grpo.resample_zero_variance or group_has_variance(group)


def is_trained(group: Group) -> bool:
    """Return True if a rollout of the group has an advantage."""
    return any(rollout.advantage is not None for rollout in group.rollouts)


class Dealer:
    """Groups dealt out to the learner ranks while they come in, in parts of about one micro-batch a rank.

    The parts depend on the groups and their order alone, never on the time at which they come: a run that is repeated
    adds up its gradients in the same order.
    """

    def __init__(self, learner: LearnerSection) -> None:
        self._limit = learner.micro_batch_tokens
        self._num_ranks = learner.num_ranks
        self._start()

    def add(self, group: Group) -> list[list[Group]] | None:
        """Take a group; return [rank][group] if the groups before it fill a part."""
        num_tokens = _num_inputs(group)
        full = None
        rank = self._tokens.index(min(self._tokens))
        if self._tokens[rank] and self._tokens[rank] + num_tokens > self._limit:
            full, rank = self.rest(), 0
        self._shares[rank].append(group)
        self._tokens[rank] += num_tokens
        return full

    def rest(self) -> list[list[Group]]:
        """Return [rank][group]: the groups that fill no part, and begin a new part."""
        shares = self._shares
        self._start()
        return shares

    def _start(self) -> None:
        self._shares: list[list[Group]] = [[] for _ in range(self._num_ranks)]
        self._tokens = [0] * self._num_ranks


def _sizes(groups: Sequence[Group], grpo: GrpoSection) -> tuple[int, int]:
    """Return (completions, tokens of those that are not masked) of the groups of one optimizer step."""
    completions = [rollout.completion for group in groups for rollout in group.rollouts]
    masked = [grpo.mask_overlong and completion.finish_reason == "length" for completion in completions]
    return len(completions), sum(len(c.token_ids) for c, out in zip(completions, masked, strict=True) if not out)


def _num_inputs(group: Group) -> int:
    """Return the number of tokens that the learner passes through the model for the group."""
    trained = [rollout for rollout in group.rollouts if rollout.advantage is not None]
    return len(group.prompt_token_ids) + sum(max(len(one.completion.token_ids) - 1, 0) for one in trained)


def _assigned(group: Group, advantages: np.ndarray, has_gradient: np.ndarray, grpo: GrpoSection) -> Group:
    rollouts = []
    for rollout, advantage, kept in zip(group.rollouts, advantages, has_gradient, strict=True):
        masked = grpo.mask_overlong and rollout.completion.finish_reason == "length"
        rollouts.append(replace(rollout, advantage=float(advantage) if kept and not masked else None))
    return replace(group, rollouts=tuple(rollouts))


def _rewards(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Return (rewards [G] in float64, True [G] for each valid reward); a reward that is not valid is 0."""
    values = [rollout.reward.value if rollout.reward.valid else None for rollout in group.rollouts]
    valid = np.array([value is not None for value in values], dtype=bool)
    return np.array([0.0 if value is None else value for value in values], dtype=np.float64), valid


def _num_tokens(group: Group) -> int:
    return len(group.prompt_token_ids) + sum(len(rollout.completion.token_ids) for rollout in group.rollouts)
