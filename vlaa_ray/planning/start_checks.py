"""The checks of what a run needs when it starts: model, data, verifiers, scorer, cluster and run folder.

Each finds what can be found on this machine without Ray, a GPU or a download.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vlaa_ray.config import OpenEndedSection, RewardsSection, SourceSection, TrainingConfig
from vlaa_ray.config.base_folder import BUILTIN, HUB, is_remote
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.readers import iterate_for
from vlaa_ray.errors import CheckpointError, ConfigError, DataError, ModelError, RewardError, StorageError
from vlaa_ray.evaluation.questions import open_benchmark
from vlaa_ray.models.dimensions import count_parameters, model_dimensions
from vlaa_ray.models.paths import local_path
from vlaa_ray.records import PAPER_TYPES
from vlaa_ray.rewards.dispatch import params_fault
from vlaa_ray.rewards.sandbox.sandbox import Sandbox
from vlaa_ray.run.run_json import run_before, run_path, run_place
from vlaa_ray.run.start_model import Training, names_run, planned
from vlaa_ray.storage.conditional import require_packages
from vlaa_ray.storage.mapping_file import as_mapping
from vlaa_ray.storage.places import BucketPath

_MOST_ROWS = 20
_WEIGHTS = ("*.safetensors", "*.bin")
_ANSWER_S = 2.0


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` is None for something that only the machine of the run can tell."""

    name: str
    ok: bool | None
    found: str
    fix: str = ""


def model_check(path: str) -> tuple[dict[str, Any], Check]:
    """Return the model's dimensions and the check of the model; the dimensions are {} if they can't be known."""
    folder = Path(path)
    try:
        dimensions = model_dimensions(path)
        parameters = count_parameters(dimensions).total
    except StorageError as error:
        return {}, Check("model", None, f"{error.message}; the run needs it when it starts", error.fix)
    except ModelError as error:
        is_here = path.startswith(BUILTIN) or folder.exists()
        found = f"{path} holds no model: {error.message}" if is_here else f"{error.message}; {error.fix}"
        return {}, Check("model", False if is_here else None, found, error.fix or "give another model.path")
    except OSError as error:
        return {}, Check(
            "model", False, f"{path} can't be read: {error.strerror}", "give yourself the right to read it"
        )
    if folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        return dimensions, Check("model", False, f"{path} holds no weights", "download the checkpoint again")
    return dimensions, Check("model", True, f"{parameters:,} parameters")


def start_model_check(config: Training) -> tuple[Training, list[Check]]:
    """Return the config with the model's folder and a check, where `model.path` names another run; else no check."""
    asked = config.model.path
    if not names_run(asked):
        return config, []
    try:
        found = planned(config)
    except (ModelError, CheckpointError) as error:  # the run may be started before this one
        return config, [Check("model.path", None, f"{asked}: {error.one_line()}; the run needs it when it starts")]
    return found, [Check("model.path", True, f"{asked} is {found.model.path}")]


def data_checks(config: TrainingConfig) -> Iterator[Check]:
    """Yield a check of each data source: whether it is there, and whether its first records can be used."""
    for name, source in (("data.train", config.data.train), ("data.heldout", config.data.heldout)):
        if isinstance(source, str):
            yield _data_check(name, config.data.alone(source), config)
            continue
        for index, part in enumerate(source):
            yield _data_check(f"{name}[{index}]", part, config)


def _data_check(name: str, source: SourceSection, config: TrainingConfig) -> Check:
    path = source.path
    fix = "see `vlaa-ray data check`, and docs/data.md for the forms that are read"
    try:
        if path.startswith(BUILTIN):
            types = PAPER_TYPES if config.data.verifier_types is None else config.data.verifier_types
            if not len(BuiltinData(path.removeprefix(BUILTIN), types)):
                found = f"{path} holds no prompt of data.verifier_types ({', '.join(types)})"
                return Check(name, False, found, f"name some of {', '.join(PAPER_TYPES)}")
            return Check(name, True, f"{path} needs no files")
        if is_remote(path):
            return _data_in_bucket(name, path)
        if path.startswith(HUB) or not Path(path).exists():
            return Check(name, None, f"{path} is not on this machine; the run needs it when it starts")
        return _first_records(name, source, config, fix)
    except DataError as error:
        return Check(name, False, f"{path}: {error.one_line()}", error.fix or fix)
    except OSError as error:
        return Check(name, False, f"{error.filename or path}: {error.strerror}", fix)


def _data_in_bucket(name: str, path: str) -> Check:
    """Return whether something is at an address in a bucket; nothing is copied."""
    try:
        found = BucketPath.parse(path).exists()
    except StorageError as error:
        return Check(name, None, f"{error.message}; the run needs it when it starts", error.fix)
    return Check(name, found, f"{path} {'exists' if found else 'is not there'}", "give another address")


def _first_records(name: str, source: SourceSection, config: TrainingConfig, fix: str) -> Check:
    """Return whether one of the first 20 records of a source can be used; DataError if a file can't be read."""
    first = record_files(source.path)[0]
    if config.data.fetch.hosts:  # reading a record would fetch its pictures
        return Check(name, True, f"{source.path} exists")
    rows = list(islice(iterate_for(first, source, config.data.fetch, config), _MOST_ROWS))
    if not rows:
        return Check(name, False, f"{first} holds no record", fix)
    bad = [(row, read) for row, read in rows if isinstance(read, DataError)]
    if len(bad) < len(rows):
        return Check(name, True, f"{source.path} exists, and its first records can be read")
    row, error = bad[0]
    found = f"none of the first {len(rows)} records of {first} can be used; row {row}: {error.one_line()}"
    return Check(name, False if len(rows) < _MOST_ROWS else None, found, error.fix or fix)


def benchmark_checks(config: TrainingConfig) -> Iterator[Check]:
    """Yield a check of each benchmark of `eval.benchmarks`: whether its files are there and can be read."""
    for section in config.benchmarks:
        name = f"eval.benchmarks, {section.name}"
        if not Path(section.data).exists():
            yield Check(name, None, f"{section.data} is not on this machine; the run needs it when it starts")
            continue
        try:
            questions = open_benchmark(section)
        except (ConfigError, DataError) as error:
            yield Check(name, False, error.one_line(), error.fix or "see docs/evaluate.md for the files that are read")
        except OSError as error:
            yield Check(name, False, f"{error.filename or section.data}: {error.strerror}", "make the file readable")
        else:
            yield Check(name, True, f"{len(questions):,} questions in {section.data}")


def reward_checks(rewards: RewardsSection) -> Iterator[Check]:
    """Yield checks of the verifiers in the config, and of the scorer of open answers: whether they can be loaded."""
    for name, verifier in rewards.verifiers.items():
        key = f"rewards.verifiers.{name}"
        if verifier.function:
            yield _function_check(key, verifier.function)
        elif fault := params_fault(name, verifier.params):
            yield Check(f"{key}.params", False, fault, "see docs/rewards.md for the parameters of each verifier")
    section = rewards.open_ended
    if section.scorer != "words" and (section.service.url or section.model):
        yield _scorer_check(section)


def _function_check(key: str, function: str) -> Check:
    module = function.partition(":")[0]
    if not _can_import(module):
        where = "is neither on the Python path nor in the current folder"
        return Check(key, False, f"{module} {where}", "start the run in the folder of that file")
    try:
        Sandbox(functions={key: function}).close()
    except RewardError as error:
        return Check(key, False, error.message, error.fix)
    return Check(key, True, f"{function} can be loaded")


def _can_import(module: str) -> bool:
    if (Path.cwd() / f"{module.replace('.', '/')}.py").is_file():
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _scorer_check(section: OpenEndedSection) -> Check:
    name, scorer = "rewards.open_ended", section.service.url or str(section.model)
    try:
        is_here = Path(local_path(scorer)).is_dir()
    except ModelError as error:
        return Check(name, False, error.message, f"use one of {error.expected()}")
    text = f"{section.scorer}: {scorer} {'exists' if is_here else 'is needed when the run starts'}"
    return Check(name, True if is_here else None, text)


def cluster_check(address: str) -> Check:
    """Return whether the Ray cluster of the config answers; only its network port is tried."""
    if address == "local":
        return Check("ray.address", True, "the run starts a Ray of its own")
    if address == "auto":
        return Check("ray.address", None, "auto: the run joins the Ray of the machine on which it starts")
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except OSError as error:
        found = f"{address} does not answer on this machine ({error}); the run needs it when it starts"
        return Check("ray.address", None, found)
    return Check("ray.address", True, f"{address} answers")


def _bucket_check(place: BucketPath) -> Check:
    """Return the state of a run folder in a bucket; an object is written there and deleted again."""
    try:
        require_packages(place)
        place.require_writable()
        data = (place / "run.json").read()
        state = as_mapping(json.loads(data)) if data else {}
    except (ConfigError, StorageError) as error:
        return Check("run folder", False, error.message, error.fix)
    except ValueError as error:
        return Check("run folder", False, f"run.json in {place} can't be read: {error}", "choose another run.name")
    if not state:
        return Check("run folder", True, f"{place} can be written, and holds no run")
    return Check("run folder", True, f"{place}: {state.get('state')} at step {state.get('step')}; see --resume")


def run_folder_check(config: TrainingConfig) -> Check:
    """Return the state of the run folder, from which `--resume auto` would continue, and whether it can be written."""
    if place := run_place(config):
        return _bucket_check(place)
    path = run_path(config)
    nearest = next(folder for folder in (path, *path.parents) if os.path.exists(folder))
    fix = "set run.dir to a folder in which you can write"
    if not nearest.is_dir():
        return Check("run folder", False, f"{path} can't be made, as {nearest} is no folder", fix)
    if not os.access(nearest, os.W_OK):
        return Check("run folder", False, f"{path} can't be written", fix)
    try:
        state = run_before(path)
    except ConfigError as error:
        return Check("run folder", False, f"{path}: {error.message}", error.fix)
    if not state:
        return Check("run folder", True, f"{path} {'is there, without a run' if nearest == path else 'is new'}")
    return Check("run folder", True, f"{path}: {state.get('state')} at step {state.get('step')}; see --resume")
