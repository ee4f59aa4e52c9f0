"""What every learner on written answers has: the learner core, the row filter, and its checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.learner.core import LearnerCore, MakeModule
from vlaa_ray.learner.row_filter import RowFilter


class SupervisedLearner(ABC):
    """One rank of a model that is trained on written answers. All ranks are called alike."""

    def __init__(self, config: SupervisedConfig, make_module: MakeModule, path: Path | None = None) -> None:
        self.core = LearnerCore(config.model, config.learner, make_module, path)
        self.row_filter = RowFilter(config.limits_key, config.limits)
        """Tells which samples of the last call were dropped, and why."""

    @abstractmethod
    def update(self, items: Any, step: int) -> dict[str, float]:
        """Do one optimizer step on this rank's share of the samples; metrics over all ranks."""

    @abstractmethod
    def evaluate(self, items: Any) -> dict[str, float]:
        """The `eval/…` metrics of all ranks' held-out samples, without training on them."""

    def save(self, folder: Path, step: int) -> None:
        """Write all that `load` needs below `folder`, and the model in `hf/`; a collective."""
        self.core.save(folder, {"step": step})

    def load(self, folder: Path) -> int:
        """Restore weights and optimizer; returns the steps done. A collective."""
        return int(self.core.load(folder)["step"])
