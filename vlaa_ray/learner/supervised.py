"""The learner for what the records of a supervised run hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.learner.base import SupervisedLearner
from vlaa_ray.learner.reward_model import RewardModelLearner
from vlaa_ray.learner.sft import SftLearner


def make_learner(config: SupervisedConfig, folder: Path) -> SupervisedLearner:
    """Return the learner for the config's kind of records; `folder` is the run folder, where SFT may make a model."""
    return _LEARNERS[config.learns_from](config, folder)


_LEARNERS: dict[str, Callable[[Any, Path], SupervisedLearner]] = {
    "solutions": SftLearner,
    "preferences": lambda config, folder: RewardModelLearner(config),
}
