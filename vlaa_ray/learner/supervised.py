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
    """One rank of a model that is trained on written answers. All ranks must make the same calls."""

    row_filter: RowFilter
    """The filter that knows which samples of the last call were dropped, and why."""

    def update(self, items: Any, step: int) -> dict[str, float]:
        """Do one optimizer step on this rank's share of the samples; return the metrics over all ranks.

        If no rank has a sample to train on, there is no optimizer step.

        Raises:
            DataError: this is the tenth step in a row without a sample to train on.
            LearnerError: the gradient is not finite.

        """

    def evaluate(self, items: Any) -> dict[str, float]:
        """Return the `eval/…` metrics over the held-out samples of all ranks, without training on them."""

    def save(self, folder: Path, step: int) -> None:
        """Write everything that `load` needs below `folder`, and the model in `hf/`.

        Raises:
            CheckpointError: a file can't be written.

        """

    def load(self, folder: Path) -> int:
        """Restore weights and optimizer, and return the number of steps done.

        Raises:
            CheckpointError: the optimizer state is missing or does not fit.

        """


def make_learner(config: SupervisedConfig, folder: Path) -> SupervisedLearner:
    """Return the learner for the config's kind of records; `folder` is the run folder, where SFT may make a model."""
    return _LEARNERS[config.learns_from](config, folder)


_LEARNERS: dict[str, Callable[[Any, Path], SupervisedLearner]] = {
    "solutions": SftLearner,
    "preferences": lambda config, folder: RewardModelLearner(config),
}
