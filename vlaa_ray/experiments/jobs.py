"""A job: one ordinary run of an experiment, in a folder whose name tells its settings apart.

The key of a job is a hash of everything in its resolved config that affects its result. So equal runs of two arms are
one job, a changed arm gets a new folder, and what is finished is found again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vlaa_ray.config import AnyConfig, GrpoConfig, TrainingConfig
from vlaa_ray.run.folder import lasting_keys
from vlaa_ray.run.run_json import read_run
from vlaa_ray.storage.layout import RESULT

Kind = Literal["prepare", "stage", "evaluation"]
FOLDERS: dict[Kind, str] = {"prepare": "prepare", "stage": "stages", "evaluation": "evaluations"}
"""The folder of an experiment in which the runs of a kind are."""
KEY_LENGTH = 10


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run. `needs` are the keys of the jobs before it; `model` is the model that it starts from or evaluates.

    `weights_of` is the key of the job that makes this model; None for a model that is there before the experiment.
    """

    key: str
    name: str
    kind: Kind
    config: AnyConfig
    needs: tuple[str, ...]
    model: str = ""
    weights_of: str | None = None

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.config.run.dir) / self.config.run.name

    @property
    def label(self) -> str:
        """The name of the run for people."""
        return f"evaluation of {self.name}" if self.kind == "evaluation" else self.name

    @property
    def planned_output(self) -> Path:
        """The model that the run leaves if it does all its steps: `hf/` of the last checkpoint."""
        return self.folder / "checkpoints" / f"step_{self.config.num_steps or 0:06d}" / "hf"

    @property
    def output(self) -> Path:
        """The model that the finished run has left; a run that stopped early has an earlier last checkpoint."""
        newest = max((self.folder / "checkpoints").glob("step_*"), default=None)
        return newest / "hf" if newest else self.planned_output

    def started_from(self, model: Path) -> Job:
        """Return the job with the model that the job before it has left; its folder stays."""
        if self.training is None:
            return dataclasses.replace(self, model=str(model))
        section = self.training.model.model_copy(update={"path": str(model)})
        return dataclasses.replace(self, model=str(model), config=self.config.model_copy(update={"model": section}))

    @property
    def grpo(self) -> GrpoConfig | None:
        """The config if the run is one of GRPO, else None."""
        return self.config.as_grpo

    @property
    def training(self) -> TrainingConfig | None:
        """The config if the run trains, else None."""
        return self.config.as_training

    def finished(self) -> bool:
        """Return whether the run has reached its end. Its settings are those of its folder's name."""
        done = read_run(self.folder).get("state") == "finished"
        return done and (self.kind != "evaluation" or (self.folder / RESULT).is_file())

    def command(self, config_file: Path) -> list[str]:
        """Return the arguments of `vlaa-ray` that do the run, with its resolved config in `config_file`."""
        arguments = [*self.config.command.split(), "--config", str(config_file)]
        if self.kind == "evaluation":
            return [*arguments, "--model", self.model, "--out", str(self.folder)]
        return arguments


def job_key(config: AnyConfig, folder: Path, needs: tuple[str, ...], model: str) -> str:
    """Return the hash of what affects the run's result; `folder`, the experiment's own, is no part of it."""
    content = [config.command, lasting_keys(config), sorted(needs), model]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False).replace(str(folder), "")
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def placed(config: AnyConfig, kind: Kind, name: str, folder: Path, key: str) -> AnyConfig:
    """Return the config with the run's folder: FOLDER/KIND/NAME-KEY.

    A folder with this key that is there already is used, whatever its name: a stage may have been renamed.
    """
    parent = folder / FOLDERS[kind]
    there = next(iter(sorted(parent.glob(f"*-{key}"))), None)
    run = config.run.model_copy(update={"name": there.name if there else f"{name}-{key}", "dir": str(parent)})
    return config.model_copy(update={"run": run})


def shown_keys(config: AnyConfig) -> dict[str, Any]:
    """Return the keys that make two arms differ: those that affect the result, without seed and start model."""
    return {key: value for key, value in lasting_keys(config).items() if key not in ("run.seed", "model.path")}
