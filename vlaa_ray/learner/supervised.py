"""The learners that train on written answers, by the kind of their records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.learner.reward_model import RewardModelLearner
from vlaa_ray.learner.sft import SftLearner
from vlaa_ray.learner.supervised_base import SupervisedLearner


def make_learner(config: SupervisedConfig, folder: Path) -> SupervisedLearner:
    """Return the learner for the config's kind of records; `folder` is the run folder, where SFT may make a model."""
    return _LEARNERS[config.learns_from](config, folder)


_LEARNERS: dict[str, Callable[[Any, Path], SupervisedLearner]] = {
    "solutions": SftLearner,
    "preferences": lambda config, folder: RewardModelLearner(config),
}
