"""The model that a run starts from, where `model.path` names another run: the newest sound checkpoint of that run.

    model.path: run:cold-start     # the run of this name in run.dir
    model.path: runs/cold-start    # the folder of a run, or of one of its checkpoints

It is chosen once. `run.json` records the choice, so that a run that goes on keeps it, even if the other run has newer
checkpoints by then.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any, TypeVar

from vlaa_ray.config import AnyConfig, ModelSection, TrainingConfig
from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import CheckpointError, ConfigError
from vlaa_ray.run.model_source import RUN, ModelSource, resolve_model
from vlaa_ray.run.remote_sources import names_remote_run
from vlaa_ray.run.run_json import run_path, run_place
from vlaa_ray.storage.layout import MANIFEST
from vlaa_ray.storage.places import BucketPath

START_MODEL = "start_model"
"""The key of the choice in `run.json`."""
Config = TypeVar("Config", bound=AnyConfig)
Training = TypeVar("Training", bound=TrainingConfig)

log = logging.getLogger(__name__)


def names_run(path: str) -> bool:
    """Return True if a `model.path` names a run or a checkpoint, and not the folder of a model."""
    if path.startswith(RUN):
        return True
    if is_remote(path):
        return names_remote_run(path)
    folder = Path(path)
    if not folder.is_dir() or (folder / "config.json").is_file():
        return False
    return (folder / "checkpoints").is_dir() or (folder / MANIFEST).is_file() or (folder / "run.json").is_file()


def with_start_model(
    config: Config, before: dict[str, Any], *, goes_on: bool, finished: bool = False
) -> tuple[Config, dict[str, Any]]:
    """Return the config with the chosen folder as `model.path`, and the facts to record in `run.json`.

    `before` is the content of `run.json`. A run that `goes_on` keeps the choice that is recorded there; one that has
    `finished` keeps it, too, and does not need the checkpoint any more. A config whose `model.path` names no run is
    returned as it is, with {}.

    Raises:
        ModelError: there is no such run.
        CheckpointError: the run has no sound checkpoint, or the one that was chosen before is gone or another one now.
        ConfigError: the run is named as its own start.

    """
    model = config.trained_model
    if model is None or not names_run(model.path):
        return config, {}
    asked, recorded = model.path, before.get(START_MODEL)
    if (goes_on or finished) and isinstance(recorded, dict) and recorded.get("asked") == asked:
        if not finished:
            _require_same(recorded)
        return _starting_from(config, model, str(recorded["path"])), {START_MODEL: recorded}
    source = chosen(config, asked)
    _warn_of_other_frame(model, source)
    path = source.origin or source.path  # every node copies a model in a bucket for itself
    choice = {"asked": asked, "path": path, "step": source.weight_version, "manifest_sha256": _digest(path)}
    return _starting_from(config, model, path), {START_MODEL: choice}


def planned(config: Training) -> Training:
    """Return the config with the checkpoint that a new run would start from; nothing is recorded.

    Raises:
        ModelError, CheckpointError, ConfigError: as for `with_start_model`.

    """
    asked = config.model.path
    if not names_run(asked):
        return config
    source = chosen(config, asked)
    return _starting_from(config, config.model, source.origin or source.path)


def chosen(config: AnyConfig, asked: str) -> ModelSource:
    """Return the newest sound checkpoint of the run that a `model.path` names.

    Raises:
        ModelError, CheckpointError, ConfigError: as for `with_start_model`.

    """
    folder, place = run_path(config), run_place(config)
    if is_remote(asked) or place:
        return _chosen_in_bucket(asked, place)
    named = folder.parent / asked.removeprefix(RUN) if asked.startswith(RUN) else Path(asked)
    if named.resolve().is_relative_to(folder.resolve()):
        fix = "name another run in model.path, or choose another run.name; the same command continues a run by itself"
        raise ConfigError("the run is named as its own start", got=asked, fix=fix)
    return resolve_model(asked, folder.parent)


def _chosen_in_bucket(asked: str, place: BucketPath | None) -> ModelSource:
    """Return the checkpoint that a `model.path` names; `place` is the run itself, if it is in a bucket."""
    named = str(place.parent / asked.removeprefix(RUN)) if place and asked.startswith(RUN) else asked
    if place and is_remote(named) and BucketPath.parse(named) == place:
        fix = "name another run in model.path, or choose another run.name; the same command continues a run by itself"
        raise ConfigError("the run is named as its own start", got=asked, fix=fix)
    return resolve_model(named)


def _starting_from(config: Config, model: ModelSection, path: str) -> Config:
    return config.model_copy(update={"model": model.model_copy(update={"path": path})})


def _require_same(recorded: dict[str, Any]) -> None:
    """Raise CheckpointError unless the checkpoint that was chosen before is still there, with the same manifest."""
    path = str(recorded.get("path"))
    digest = _digest(path)
    if digest == recorded.get("manifest_sha256"):
        return
    what = "is another one now" if digest else "is gone"
    fix = "put it back (checkpoint.keep of that run says how many are kept), or choose another run.name"
    message = f"the checkpoint that this run started from {what}"
    raise CheckpointError(message, asked=recorded.get("asked"), checkpoint=path.removesuffix("/hf"), fix=fix)


def _digest(model: str) -> str:
    """Return the sha256 of the manifest of a checkpoint, of which `model` is the folder `hf`; "" without one."""
    if is_remote(model):
        data = (BucketPath.parse(model).parent / MANIFEST).read()
    else:
        file = Path(model).parent / MANIFEST
        data = file.read_bytes() if file.is_file() else None
    return hashlib.sha256(data).hexdigest() if data is not None else ""


def _warn_of_other_frame(model: ModelSection, source: ModelSource) -> None:
    """Log each setting around the model that is not the one that it was trained with."""
    for key in ("system_prompt", "min_pixels", "max_pixels"):
        here, there = getattr(model, key), getattr(source, key)
        if here != there:
            log.warning("model.%s is %r; %s was trained with %r", key, here, source.name, there)
