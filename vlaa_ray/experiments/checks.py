"""What is wrong with a stage before it runs: the checks of `--dry-run`, with the model that the arm starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray.config import SourceSection, TrainingConfig
from vlaa_ray.config.base_folder import BUILTIN, HUB
from vlaa_ray.errors import PlacementError
from vlaa_ray.experiments.jobs import Job
from vlaa_ray.planning.dry_run import examine, failed

_ELSEWHERE = (BUILTIN, HUB)


def checked(job: Job, start: str, folder: Path) -> tuple[list[str], list[str]]:
    """Return (faults that would end the run, paths of data and models that are not on this machine).

    `start` is the model that the arm starts from: it stands for the models of earlier stages, which are not made yet.
    Files in the experiment's own folder are made by it.
    """
    if job.training is None:
        return [], []
    changes: dict[str, Any] = {"model": job.training.model.model_copy(update={"path": start})}
    missing = [path for path in _paths(job.training) if is_absent(path) and not _is_made(path, folder)]
    if any(_is_made(path, folder) for path in _paths(job.training)):
        changes["data"] = job.training.data.model_copy(update=_builtin())
    report = examine(job.training.model_copy(update=changes))
    error = failed(report)
    if isinstance(error, PlacementError):
        return [error.message], missing
    return [f"{check.name}: {check.found}" for check in report.checks if check.ok is False], missing


def _paths(config: TrainingConfig) -> list[str]:
    sources = [config.data.train, config.data.heldout]
    named = [[source] if isinstance(source, str) else [_path(part) for part in source] for source in sources]
    return [path for paths in named for path in paths]


def _path(part: SourceSection) -> str:
    return part.path


def _is_made(path: str, folder: Path) -> bool:
    return Path(path).is_absolute() and Path(path).is_relative_to(folder)


def is_absent(path: str) -> bool:
    """Return whether a path is one of this machine that does not exist; built-in data and those of the hub are not."""
    return not path.startswith(_ELSEWHERE) and not Path(path).exists()


def _builtin() -> dict[str, str]:
    return {"train": "builtin:train", "heldout": "builtin:heldout"}
