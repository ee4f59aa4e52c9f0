"""A step's groups to the work of each learner rank: advantages, what is left out, and fair shares. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlaa_ray.algorithms.advantages import group_advantages, has_variance
from vlaa_ray.config import GrpoSection, LearnerSection
from vlaa_ray.records import Group, OptimizerStep


def group_has_variance(group: Group) -> bool:
    """Whether the group's rewards differ, so that it can teach something."""
    return has_variance(*_rewards(group))


def with_advantages(group: Group, grpo: GrpoSection) -> Group:
    """The group with each rollout's advantage; None for those that get no gradient.

    None are: all of a group without variance (with a KL term they are 0, as that has a gradient for them too), samples
    that can't be judged, and overlong ones if those are masked.
    """
    advantages: list[float | None] = [None] * len(group.rollouts)
    if group_has_variance(group) or grpo.kl.coefficient > 0:
        values, valid = _rewards(group)
        computed = group_advantages(values, valid, grpo.advantage)
        advantages = [
            float(advantage)
            if judged and not (grpo.mask_overlong and rollout.completion.finish_reason == "length")
            else None
            for advantage, judged, rollout in zip(computed, valid, group.rollouts, strict=True)
        ]
    rollouts = tuple(
        replace(rollout, advantage=advantage) for rollout, advantage in zip(group.rollouts, advantages, strict=True)
    )
    return replace(group, rollouts=rollouts)


def optimizer_steps(groups: Sequence[Group], grpo: GrpoSection, learner: LearnerSection) -> list[list[OptimizerStep]]:
    """[rank][optimizer step]: the groups with a gradient, dealt out so that ranks get about as many tokens."""
    if grpo.resample_zero_variance:  # those without variance were replaced: they don't count
        groups = [group for group in groups if group_has_variance(group)]
    steps = [groups[start :: learner.updates_per_step] for start in range(learner.updates_per_step)]
    shares: list[list[OptimizerStep]] = [[] for _ in range(learner.num_ranks)]
    for step in steps:
        completions = [rollout.completion for group in step for rollout in group.rollouts]
        masked = [grpo.mask_overlong and completion.finish_reason == "length" for completion in completions]
        num_tokens = sum(len(c.token_ids) for c, out in zip(completions, masked, strict=True) if not out)
        trained = [group for group in step if any(rollout.advantage is not None for rollout in group.rollouts)]
        trained.sort(key=_num_tokens)
        for rank, share in enumerate(shares):
            mine = tuple(trained[rank :: learner.num_ranks])
            share.append(OptimizerStep(groups=mine, num_sequences=len(completions), num_tokens=num_tokens))
    return shares


def _rewards(group: Group) -> tuple[np.ndarray, np.ndarray]:
    values = [rollout.reward.value if rollout.reward.valid else None for rollout in group.rollouts]
    valid = np.array([value is not None for value in values], dtype=bool)
    return np.array([0.0 if value is None else value for value in values], dtype=np.float64), valid


def _num_tokens(group: Group) -> int:
    return len(group.prompt_token_ids) + sum(len(rollout.completion.token_ids) for rollout in group.rollouts)
