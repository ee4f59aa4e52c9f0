"""The learners that train on written answers, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.learner.reward_model import RewardModelLearner
from vlaa_ray.learner.row_filter import RowFilter
from vlaa_ray.learner.sft import SftLearner


class SupervisedLearner(Protocol):
    """One rank of a model that is trained on written answers. All ranks are called alike."""

    row_filter: RowFilter
    """Tells which samples of the last call were dropped, and why."""

    def update(self, items: Any, step: int) -> dict[str, float]:
        """Do one optimizer step on this rank's share of the samples; metrics over all ranks."""

    def evaluate(self, items: Any) -> dict[str, float]:
        """The `eval/…` metrics of all ranks' held-out samples, without training on them."""

    def save(self, folder: Path, step: int) -> None:
        """Write all that `load` needs below `folder`, and the model in `hf/`."""

    def load(self, folder: Path) -> int:
        """Restore weights and optimizer; returns the steps done."""


def make_learner(config: SupervisedConfig, folder: Path) -> SupervisedLearner:
    """The learner for what the config's records hold; `folder` is the run's, for a model that is made there."""
    return _LEARNERS[config.learns_from](config, folder)


_LEARNERS: dict[str, Callable[[Any, Path], SupervisedLearner]] = {
    "solutions": SftLearner,
    "preferences": lambda config, folder: RewardModelLearner(config),
}
