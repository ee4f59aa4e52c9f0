"""Scorers of open-ended answers: reward models, judges and sentence embeddings, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.records import Prompt, RewardResult


class Scorer(Protocol):
    """Judges answers to prompts, for calls from several threads."""

    def score(self, prompt: Prompt, answers: Sequence[str]) -> list[RewardResult]:
        """Return one result for each answer, in order. Raises RewardError only if the scorer is down for good."""

    def offload(self) -> None:
        """Free GPU memory until the next answers come."""


class ScoreModel(Protocol):
    """A reward model S. Its scores are unbounded numbers that have a meaning only in comparison with each other."""

    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """Return S of each answer, or a text that says why the answer has none.

        Raises Unanswered if no answer to this prompt can be scored now.
        """

    def offload(self) -> None:
        """Free GPU memory until the next answers come."""


def make_scorer(section: OpenEndedSection) -> Scorer | None:
    """Return the scorer that `rewards.open_ended` names, loaded. None means that words are compared instead."""
    if section.scorer == "words":
        return None
    if section.scorer == "judge":
        from vlaa_ray.rewards.scorers.judge import Judge

        return Judge(section)
    if section.scorer == "embedding":
        from vlaa_ray.rewards.scorers.embedding import EmbeddingScorer

        return EmbeddingScorer(section)
    from vlaa_ray.rewards.scorers.relative import RelativeScorer

    return RelativeScorer(score_model(section), section.beta)


def score_model(section: OpenEndedSection) -> ScoreModel:
    """Return the reward model that `rewards.open_ended` names, loaded, or a client of its server."""
    if section.scorer == "xcomposer":
        from vlaa_ray.rewards.scorers.xcomposer import XComposerReward

        return XComposerReward(section)
    if section.service.url:
        from vlaa_ray.rewards.scorers.remote import RemoteRewardModel

        return RemoteRewardModel(section)
    from vlaa_ray.rewards.scorers.reward_model import LocalRewardModel

    return LocalRewardModel(section)
