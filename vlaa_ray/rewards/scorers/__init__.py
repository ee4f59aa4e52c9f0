"""What open-ended answers are worth: reward models, judges and embeddings behind one interface; each sees the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.records import Prompt, RewardResult


class Scorer(Protocol):
    """Judges answers to one prompt; may be called from several threads."""

    def score(self, prompt: Prompt, answers: Sequence[str]) -> list[RewardResult]:
        """One result an answer; RewardError only if the scorer is down for good."""

    def offload(self) -> None:
        """Give GPU memory back until the next answers come."""


class ScoreModel(Protocol):
    """A reward model S: unbounded numbers that only compare with each other."""

    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """S of each answer, or in words what is wrong with it; Unanswered where nothing could be scored now."""

    def offload(self) -> None:
        """As a Scorer's."""


def make_scorer(section: OpenEndedSection) -> Scorer | None:
    """The configured scorer, loaded; None where the words are compared (`rewards.open_ended`)."""
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
    """The configured reward model, loaded, or the client of its server."""
    if section.scorer == "xcomposer":
        from vlaa_ray.rewards.scorers.xcomposer import XComposerReward

        return XComposerReward(section)
    if section.service.url:
        from vlaa_ray.rewards.scorers.remote import RemoteRewardModel

        return RemoteRewardModel(section)
    from vlaa_ray.rewards.scorers.reward_model import LocalRewardModel

    return LocalRewardModel(section)
