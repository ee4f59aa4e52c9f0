"""What every learner on written answers has: the learner core, the row filter, and its checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.learner.core import LearnerCore, MakeModule
from vlaa_ray.learner.row_filter import RowFilter


class SupervisedLearner(ABC):
    """One rank of a model that is trained on written answers. All ranks must make the same calls."""

    def __init__(self, config: SupervisedConfig, make_module: MakeModule, path: Path | None = None) -> None:
        self.core = LearnerCore(config.model, config.learner, make_module, path)
        self.row_filter = RowFilter(config.limits_key, config.limits)
        """The filter that knows which samples of the last call were dropped, and why."""

    @abstractmethod
    def update(self, items: Any, step: int, num_steps: int) -> dict[str, float]:
        """Do one optimizer step on this rank's share of the samples; return the metrics over all ranks.

        The learning rate is that of step `step` (from 0) out of `num_steps`. If no rank has a sample to train on, there
        is no optimizer step.

        Raises:
            DataError: this is the tenth step in a row without a sample to train on.
            LearnerError: the gradient is not finite.

        """

    @abstractmethod
    def evaluate(self, items: Any) -> dict[str, float]:
        """Return the `eval/…` metrics over the held-out samples of all ranks, without training on them."""

    def save(self, folder: Path, step: int) -> None:
        """Write everything that `load` needs below `folder`, and the model in `hf/`.

        Raises:
            CheckpointError: a file can't be written.

        """
        self.core.save(folder, {"step": step})

    def load(self, folder: Path) -> int:
        """Restore weights and optimizer, and return the number of steps done.

        Raises:
            CheckpointError: the optimizer state is missing or does not fit.

        """
        return int(self.core.load(folder)["step"])
