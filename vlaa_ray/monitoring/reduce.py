"""The metrics of a step, computed from its samples and groups."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from vlaa_ray.algorithms.step_plan import group_has_variance
from vlaa_ray.records import NO_ANSWER, Group, Prompt, RewardResult

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


def reward_metrics(samples: Iterable[tuple[Prompt, RewardResult]], prefix: str = "reward") -> dict[str, float]:
    """Return means, deviations, counts and invalid shares, over all, by verifier type and by source; {} for no samples.

    A sample that can't be judged enters `invalid_share` and nothing else. Deviations are of the population.
    """
    samples = list(samples)
    metrics = _summary([result for _, result in samples], prefix)
    for name, sources in by_source(prompt for prompt, _ in samples).items():
        of_source = [result for prompt, result in samples if prompt.source in sources]
        metrics |= _summary(of_source, f"{prefix}/by_source/{name}")
    for verifier_type in sorted({prompt.verifier_type for prompt, _ in samples}):
        of_type = [result for prompt, result in samples if prompt.verifier_type == verifier_type]
        metrics |= _summary(of_type, f"{prefix}/{verifier_type}")
        for why, reason in NO_ANSWER.items():
            if count := sum(result.extracted is None and result.reason == reason for result in of_type):
                metrics[f"{prefix}/{verifier_type}/no_answer/{why}"] = count / len(of_type)
        parts = [result.parts for result in of_type if result.valid]
        for part in sorted({name for names in parts for name in names}):
            metrics[f"{prefix}/{verifier_type}/parts/{part}"] = statistics.fmean(p[part] for p in parts if part in p)
    return metrics


def by_source(prompts: Iterable[Prompt]) -> dict[str, set[str]]:
    """Return the prompts' sources by their names in metrics, which have letters, digits and `_ . -` only."""
    sources: dict[str, set[str]] = {}
    for source in sorted({prompt.source for prompt in prompts}):
        sources.setdefault(_NOT_IN_NAMES.sub("_", source) or "none", set()).add(source)
    return sources


def _summary(results: list[RewardResult], prefix: str) -> dict[str, float]:
    if not results:
        return {}
    values = [result.value for result in results if result.valid and result.value is not None]
    metrics = {f"{prefix}/count": len(values), f"{prefix}/invalid_share": 1 - len(values) / len(results)}
    if values:
        metrics |= {f"{prefix}/mean": statistics.fmean(values), f"{prefix}/std": statistics.pstdev(values)}
    return metrics


def group_metrics(
    groups: Sequence[Group], *, weight_version: int, updates_per_step: int, planned: int
) -> dict[str, float]:
    """Return rewards, lengths, zero-variance shares and staleness of the groups that a step took.

    `planned` is the number of groups that a step takes where no group without variance is replaced.
    """
    sampled = [group for group in groups if group.rollouts]
    rollouts = [(group, rollout) for group in sampled for rollout in group.rollouts]
    metrics = reward_metrics([(group.prompt, rollout.reward) for group, rollout in rollouts])
    metrics["groups/count"] = len(groups)
    metrics["groups/failed"] = len(groups) - len(sampled)
    metrics["groups/resampled"] = len(groups) - planned
    if sampled:
        lengths = [len(rollout.completion.token_ids) for _, rollout in rollouts]
        cut = [rollout.completion.finish_reason == "length" for _, rollout in rollouts]
        staleness = [(weight_version - group.weight_version) / updates_per_step for group in sampled]
        metrics |= (
            _zero_variance(sampled)
            | _lengths_by_type(sampled)
            | {
                "completion/mean_tokens": float(np.mean(lengths)),
                "completion/truncated_share": float(np.mean(cut)),
                "staleness/max": max(staleness),
                "staleness/mean": float(np.mean(staleness)),
            }
        )
    return metrics


def _lengths_by_type(groups: Sequence[Group]) -> dict[str, float]:
    """Return `completion/{verifier_type}/mean_tokens` of groups that each have rollouts."""
    metrics = {}
    for verifier_type in sorted({group.prompt.verifier_type for group in groups}):
        of_type = [group for group in groups if group.prompt.verifier_type == verifier_type]
        lengths = [len(rollout.completion.token_ids) for group in of_type for rollout in group.rollouts]
        metrics[f"completion/{verifier_type}/mean_tokens"] = statistics.fmean(lengths)
    return metrics


def _zero_variance(groups: Sequence[Group]) -> dict[str, float]:
    """Return the share of groups whose judged rewards do not differ: over all, by verifier type and by source."""
    judged = [(group.prompt, not group_has_variance(group)) for group in groups]
    parts = {"groups": [is_flat for _, is_flat in judged]}
    for verifier_type in {prompt.verifier_type for prompt, _ in judged}:
        of_type = [is_flat for prompt, is_flat in judged if prompt.verifier_type == verifier_type]
        parts[f"groups/{verifier_type}"] = of_type
    for name, sources in by_source(prompt for prompt, _ in judged).items():
        parts[f"groups/by_source/{name}"] = [is_flat for prompt, is_flat in judged if prompt.source in sources]
    return {f"{name}/zero_variance_share": float(np.mean(flat)) for name, flat in parts.items()}
