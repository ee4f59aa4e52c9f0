"""The metrics for studying how a policy reasons: its words of doubt, its openings, and its length against its reward.

They are computed over all completions of a step, since a run keeps only a few of them on disk.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

from vlaa_ray.config import TrackingSection
from vlaa_ray.records import Group
from vlaa_ray.text.openings import Openings
from vlaa_ray.text.phrases import Phrases


class CompletionStudy:
    """The study of a run's completions; `openings` are those of the SFT traces, None where none were given."""

    def __init__(self, tracking: TrackingSection, openings: Openings | None = None) -> None:
        self._phrases = Phrases(tracking.reflection_phrases)
        self._openings = openings

    def metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """Return the metrics of the step's completions; {} without any."""
        sampled = [group for group in groups if group.rollouts]
        if not sampled:
            return {}
        return self._reflection(sampled) | self._copied(sampled) | length_reward_correlation(sampled)

    def _reflection(self, groups: Sequence[Group]) -> dict[str, float]:
        keys = self._phrases.keys
        if not keys:
            return {}
        total: Counter[str] = Counter()
        by_type: dict[str, list[bool]] = {}
        for group in groups:
            for rollout in group.rollouts:
                counts = self._phrases.counts(rollout.completion.text)
                total += counts
                by_type.setdefault(group.prompt.verifier_type, []).append(bool(counts))
        every = [has_some for of_type in by_type.values() for has_some in of_type]
        return {
            "completion/reflection/share": statistics.fmean(every),
            **{f"completion/reflection/{key}/count": total[key] for key in keys},
            **{f"completion/{name}/reflection_share": statistics.fmean(by_type[name]) for name in sorted(by_type)},
        }

    def _copied(self, groups: Sequence[Group]) -> dict[str, float]:
        if self._openings is None:
            return {}
        copies = [self._openings.has(rollout.completion.text) for group in groups for rollout in group.rollouts]
        return {"completion/sft_opening_share": statistics.fmean(copies)}


def length_reward_correlation(groups: Sequence[Group]) -> dict[str, float]:
    """Return Pearson's correlation of a completion's tokens with its reward, both minus their group's means.

    So it compares answers to the same question. Answers that could not be judged don't count. {} where all lengths or
    all rewards of a question are equal, in every group.
    """
    products = lengths_squared = rewards_squared = 0.0
    for group in groups:
        judged = [
            (len(rollout.completion.token_ids), rollout.reward.value)
            for rollout in group.rollouts
            if rollout.reward.valid and rollout.reward.value is not None
        ]
        if not judged:
            continue
        mean_length = statistics.fmean(length for length, _ in judged)
        mean_reward = statistics.fmean(reward for _, reward in judged)
        for length, reward in judged:
            products += (length - mean_length) * (reward - mean_reward)
            lengths_squared += (length - mean_length) ** 2
            rewards_squared += (reward - mean_reward) ** 2
    norm = math.sqrt(lengths_squared * rewards_squared)
    return {"completion/length_reward_correlation": products / norm} if norm > 1e-12 else {}
