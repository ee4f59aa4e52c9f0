"""The function that Ray Train runs on each rank of training on written answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.run.checkpoints import Checkpoint


@dataclass(frozen=True)
class RankTask:
    """The arguments of a rank: the config, the run's folder, and the checkpoint to continue from."""

    config: SupervisedConfig
    folder: Path
    resume_from: Checkpoint | None


def train_on_rank(options: dict[str, RankTask]) -> None:
    """Run the loop on this rank; Ray Train calls it with {"task": RankTask} once the rank knows where all meet."""
    from vlaa_ray.compat.cpu_wheels import register

    register()
    from vlaa_ray.supervised_loop import train

    task = options["task"]
    train(task.config, task.folder, task.resume_from)
