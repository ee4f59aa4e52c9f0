"""The MODEL argument of eval, serve, ask and export: what a user writes becomes a folder and the settings it needs.

    resolve_model("quickstart", Path("runs"))      -> the newest sound checkpoint of the run runs/quickstart
    resolve_model("builtin:tiny-base", Path("runs"))
    resolve_model("http://127.0.0.1:8000/v1", Path("runs"))

A model can be:

- `builtin:NAME`, a model in this package;
- a folder that transformers loads, also one that `vlaa-ray export` wrote (`vlaa_ray.json` holds its settings);
- a run's folder or its name below `runs_dir`, also as `run:NAME`: its newest sound checkpoint;
- a checkpoint `…/checkpoints/step_NNNNNN`, or the `hf` folder in it;
- the address of a model, a run or a checkpoint in a bucket, `s3://…` or `gs://…`;
- the URL of an OpenAI-compatible endpoint; `URL#MODEL` names one of its models;
- OWNER/NAME on the Hugging Face hub, which is not downloaded here.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ValidationError

from vlaa_ray.config import ModelSection, parse_yaml
from vlaa_ray.config.base_folder import expand_home, is_remote
from vlaa_ray.errors import CheckpointError, ModelError
from vlaa_ray.models.paths import UNTRAINED, local_path
from vlaa_ray.run.checkpoints import CheckpointStore, verify
from vlaa_ray.run.remote_sources import fetch_model, names_remote_run
from vlaa_ray.storage.layout import CONFIG, EXPORTED, MANIFEST
from vlaa_ray.storage.local_copies import local_copy
from vlaa_ray.storage.mapping_file import as_mapping, read_mapping
from vlaa_ray.storage.places import BucketPath

ModelKind = Literal["folder", "checkpoint", "hub", "builtin", "endpoint"]
RUN = "run:"
"""The prefix of a run's name."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_MODEL_CONFIG, _VALUE_HEAD = "config.json", "value_head.safetensors"
_IMAGE_FILES = (("preprocessor_config.json", ()), ("processor_config.json", ("image_processor",)))
_EXPECTED = "a folder, a run's name, a checkpoint, an address in a bucket, OWNER/NAME on the hub, builtin:NAME or a URL"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model that can be used, and the settings that it was trained with."""

    name: str
    """A short name for tables, files and the model list of a server."""
    path: str
    """The folder to load from; for `hub` the id, and for `endpoint` the URL up to `/v1`, without a slash behind it."""
    kind: ModelKind
    system_prompt: str | None = None
    """The system prompt of its training; None if it had none or if nothing is known about it."""
    min_pixels: int | None = None
    """The limits of pixels of its images; None where they are not known here (hub, endpoint)."""
    max_pixels: int | None = None
    weight_version: int | None = None
    """The number of optimizer steps of a checkpoint; None for other models."""
    run_dir: Path | None = None
    """The folder of the run that a checkpoint belongs to."""
    checkpoint: Path | None = None
    """The folder of the checkpoint, with its manifest."""
    served_name: str | None = None
    """The model that is asked of an endpoint; None for the first one that it lists."""
    origin: str | None = None
    """The address of the model in a bucket, from which `path` was copied; None for a model that is in none."""

    def section(self, dtype: Literal["fp32", "bf16"] = "fp32") -> ModelSection:
        """Return the `model` section of a config for this model, with the limits of pixels that are known.

        Raises:
            ModelError: an endpoint has no such section.

        """
        if self.kind == "endpoint":
            raise ModelError("an endpoint can't be loaded", got=self.path)
        limits = {"min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        known = {key: value for key, value in limits.items() if value is not None}
        return ModelSection.model_validate(
            {"path": self.path, "dtype": dtype, "system_prompt": self.system_prompt, **known}
        )


def resolve_model(text: str, runs_dir: Path = Path("runs")) -> ModelSource:
    """Return the model that `text` names; see above for what it may be. A checkpoint is verified (its `hf/` hashed).

    A path that exists comes before a run of this name, and both come before the hub.

    Raises:
        ModelError: nothing of this name is a model that answers questions.
        CheckpointError: a checkpoint is torn or altered, or a run has no sound one.

    """
    if text.startswith(("http://", "https://")):
        return _endpoint(text)
    if is_remote(text):
        return _in_bucket(text)
    if text.startswith("builtin:"):
        return _builtin(text)
    if text.startswith(RUN):
        return _run(text, Path(runs_dir))
    named = Path(expand_home(text))
    for path in (named, Path(runs_dir) / named):
        if source := _in_folder(path.absolute()):
            return source
    if named.exists():
        message = "the path is neither a model's folder, nor a run, nor a checkpoint"
        raise ModelError(message, path=str(named), expected="a folder with config.json, checkpoints/ or manifest.json")
    if _HUB_ID.fullmatch(text) and not named.parent.exists():
        return ModelSource(name=named.name, path=text, kind="hub")
    raise _unknown(text, runs_dir)


def _endpoint(text: str) -> ModelSource:
    url, _, served = text.partition("#")
    fix = "give http://HOST:PORT/v1"
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        raise ModelError(f"the URL of the endpoint can't be read: {error}", got=text, fix=fix) from error
    if not host:
        raise ModelError("the URL of the endpoint names no host", got=text, fix=fix)
    name = served or (f"{host}-{port}" if port else host)
    return ModelSource(name=name.rpartition("/")[2], path=url.rstrip("/"), kind="endpoint", served_name=served or None)


def _in_bucket(url: str) -> ModelSource:
    """Return the model at an address in a bucket, from a copy on this machine."""
    url = expand_home(url)
    if names_remote_run(url) or BucketPath.parse(url).name == "hf":
        checkpoint, origin = fetch_model(url)
        return replace(_checkpoint(checkpoint), origin=origin)
    path = local_copy(url)
    if not (path / _MODEL_CONFIG).is_file():
        raise ModelError("the address names no model, no run and no checkpoint", got=url, expected=_EXPECTED)
    return replace(_folder(path), origin=url)


def _builtin(text: str) -> ModelSource:
    if text == UNTRAINED:
        raise ModelError("this model is made by a run of SFT and has no folder", got=text, fix="use builtin:tiny-base")
    path = Path(local_path(text))
    _refuse_scorer(path)
    minimum, maximum = _pixel_limits(path)
    return ModelSource(name=path.name, path=str(path), kind="builtin", min_pixels=minimum, max_pixels=maximum)


def _run(text: str, runs_dir: Path) -> ModelSource:
    name = text.removeprefix(RUN)
    path = (runs_dir / name).absolute()
    if not name or Path(name).name != name or not ((path / "checkpoints").is_dir() or (path / "run.json").is_file()):
        raise _unknown(name, runs_dir)
    return _newest_checkpoint(path)


def _in_folder(path: Path) -> ModelSource | None:
    """Return the model in a folder; None if the folder is no model, run or checkpoint, or does not exist."""
    if not path.is_dir():
        return None
    if path.name == "hf" and (path.parent / MANIFEST).is_file():
        path = path.parent
    if (path / MANIFEST).is_file():
        return _checkpoint(path)
    if (path / "hf").is_dir():  # the files of a checkpoint that was never finished
        raise CheckpointError("the checkpoint is torn: it has no manifest", checkpoint=str(path), fix="use another one")
    if (path / "checkpoints").is_dir() or ((path / "run.json").is_file() and (path / CONFIG).is_file()):
        return _newest_checkpoint(path)
    return _folder(path) if (path / _MODEL_CONFIG).is_file() else None


def _newest_checkpoint(run_dir: Path) -> ModelSource:
    paths = CheckpointStore(run_dir / "checkpoints", keep=1).paths()
    fault = ""
    for path in reversed(paths):
        try:
            return _checkpoint(path)
        except CheckpointError as error:
            fault = fault or error.one_line()
    if paths:
        raise CheckpointError(f"no checkpoint of the run is sound; the newest: {fault}", run=str(run_dir))
    fix = "let the run reach its first checkpoint (checkpoint.every_steps)"
    raise CheckpointError("the run has no checkpoint", run=str(run_dir), fix=fix)


def _checkpoint(path: Path) -> ModelSource:
    step, model = verify(path, below="hf/"), path / "hf"
    if not (model / _MODEL_CONFIG).is_file():
        raise CheckpointError("the checkpoint holds no model (hf/config.json)", checkpoint=str(path))
    _refuse_scorer(model)
    config, fault = read_mapping(path / CONFIG, parse_yaml)
    try:
        section = ModelSection.model_validate({**as_mapping(config.get("model")), "path": str(model)})
    except ValidationError as error:
        fault = fault or str(error)
    if fault:
        message = "the settings of the checkpoint's run can't be read"
        raise CheckpointError(f"{message}: {fault}", checkpoint=str(path), file=CONFIG)
    in_run = path.parent.name == "checkpoints"
    run_dir = path.parent.parent if in_run else None
    return ModelSource(
        name=f"{run_dir.name}-{path.name}" if run_dir else path.name,
        path=str(model),
        kind="checkpoint",
        system_prompt=section.system_prompt,
        min_pixels=section.min_pixels,
        max_pixels=section.max_pixels,
        weight_version=step,
        run_dir=run_dir,
        checkpoint=path,
    )


def _folder(path: Path) -> ModelSource:
    """Return a plain folder, or one that `vlaa-ray export` wrote, with the settings that it recorded."""
    _refuse_scorer(path)
    recorded = read_mapping(path / EXPORTED, json.loads)[0]
    system_prompt, version = recorded.get("system_prompt"), recorded.get("weight_version")
    minimum, maximum = _pixel_limits(path)
    return ModelSource(
        name=path.name,
        path=str(path),
        kind="folder",
        system_prompt=system_prompt if isinstance(system_prompt, str) else None,
        min_pixels=minimum,
        max_pixels=maximum,
        weight_version=version if isinstance(version, int) else None,
    )


def _pixel_limits(path: Path) -> tuple[int | None, int | None]:
    """Return the smallest and the largest number of pixels in the image processor's file; None for what is not there.

    The names are those of transformers 5 (`size`) and, where these are missing, of older files.
    """
    for name, keys in _IMAGE_FILES:
        settings = read_mapping(path / name, json.loads)[0]
        for key in keys:
            settings = as_mapping(settings.get(key))
        size = as_mapping(settings.get("size"))
        minimum = settings.get("min_pixels") or size.get("shortest_edge")
        maximum = settings.get("max_pixels") or size.get("longest_edge")
        if isinstance(minimum, int) and isinstance(maximum, int):
            return minimum, maximum
    return None, None


def _refuse_scorer(path: Path) -> None:
    if (path / _VALUE_HEAD).is_file():
        message = "this is a reward model: it scores answers and gives none"
        raise ModelError(message, path=str(path), fix="name a model that was trained by train or sft")


def _unknown(text: str, runs_dir: Path) -> ModelError:
    runs = sorted(path.parent.name for path in Path(runs_dir).glob("*/checkpoints"))
    near = difflib.get_close_matches(text, runs, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"runs in {runs_dir}: {', '.join(runs[:10]) or 'none'}"
    return ModelError("no model of this name", got=text, expected=_EXPECTED, fix=fix)
