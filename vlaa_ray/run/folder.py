"""The folder of one run: one process at a time writes it, and its content is true after any crash.

    runs/NAME/  config.yaml  run.json  metrics.jsonl  rollouts/  checkpoints/  logs/  report.html

`run.json` holds step, resumed_from_step, the number of steps that a run on written answers has found out, and the
checkpoint of another run that the run started from, in addition to the facts of every `LockedFolder`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from vlaa_ray.config import AnyConfig, PoolSection, dump_config, parse_yaml
from vlaa_ray.config.base_folder import find_input
from vlaa_ray.errors import CheckpointError
from vlaa_ray.run.checkpoints import Checkpoint, CheckpointStore
from vlaa_ray.run.remote_run import RemoteRun
from vlaa_ray.run.run_json import LockedFolder, run_before, run_path
from vlaa_ray.run.start_model import with_start_model
from vlaa_ray.storage.layout import CONFIG, MANIFEST
from vlaa_ray.storage.mapping_file import read_mapping

Resume = Literal["auto", "never"] | str | Path
Config = TypeVar("Config", bound=AnyConfig)

STOPPED_EARLY = "stopped_early"
"""The key in `run.json` of the settings by which a run ended before its last step."""
_SIZES = tuple(f"{section}.{key}" for section in ("rollout", "rewards") for key in PoolSection.model_fields)
_HARMLESS_KEYS = {
    "run": ("name", "dir", "local_dir", "lease_s", "upload_s"),
    "data": ("fetch.",),
    "rollout": ("cpus_", "gpus_", "max_num_seqs", "kv_cache_bytes", "gpu_memory_share", "engine_metrics"),
    "rewards": ("cpus_", "memory_limit_bytes", "max_invalid_share"),
    **{f"{section}.nodes": ("",) for section in ("rollout", "rewards")},
    "learner": (
        "num_ranks",
        "min_ranks",
        "nodes",
        "max_restarts",
        "restart_window_s",
        "cpus_",
        "gpus_",
        "num_threads",
        "zero_stage",
        "micro_batch",
        "gradient_checkpointing",
    ),
    **{section: ("",) for section in ("checkpoint", "eval", "deadlines", "tracking", "ray", "weight_sync")},
}
_HARMLESS = tuple(f"{section}.{key}" for section, keys in _HARMLESS_KEYS.items() for key in keys)
"""The keys that change where and how fast a run computes, but not its result; changing them gives no warning."""

log = logging.getLogger(__name__)


class RunFolder(LockedFolder, Generic[Config]):
    """The open, locked folder of a run; `finish` or `fail` ends it.

    `resume_from` is the verified checkpoint to continue from, or None to start at step 0. `finished` is True if an
    earlier process finished this run and `run.num_steps` asks for no more steps. `config_changes` maps the keys that
    affect training and differ from that checkpoint's to (old, new). A run without steps never resumes. `config` is the
    config of the run, with the folder of a checkpoint as `model.path` where that names another run. `remote` keeps the
    folder in a bucket up to date, where `run.dir` is in one.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(run_path(config))
        self.config = config
        self.remote: RemoteRun | None = None
        self.checkpoints = _store(config)
        self.resume_from: Checkpoint | None = None
        self.finished = False
        self.config_changes: dict[str, tuple[Any, Any]] = {}

    @classmethod
    def open(cls, config: Config, resume: Resume = "auto") -> RunFolder[Config]:
        """The folder of `config.run`, made if need be; CheckpointError or ConfigError if the run can't go on there."""
        folder = cls(config)
        try:
            folder._start(config, resume)
        except BaseException:
            if folder.remote:
                folder.remote.abandon()
            folder._unlock()
            raise
        return folder

    def _start(self, config: Config, resume: Resume) -> None:
        self.remote = RemoteRun.open(config, self.path)
        before = run_before(self.path)
        self.refuse_other_kind(config)
        self.finished = resume == "auto" and _nothing_left(before, config)
        goes_on = bool(self.checkpoints.paths())
        config, start_model = with_start_model(config, before, goes_on=goes_on, finished=self.finished)
        self.config, self.checkpoints = config, _store(config)
        if self.finished:
            self._warn_of_changes(config, self.path / CONFIG)
            self._hand_over(complete=True)  # an upload that the process before could not end
            return self._unlock()
        self.resume_from = self._choose(resume, before)
        if self.resume_from:
            self._warn_of_changes(config, self.resume_from.path / CONFIG)
        if not config.has_steps:
            return self.begin(config)
        step = self.resume_from.step if self.resume_from else 0
        self.begin(config, step=step, resumed_from_step=step if self.resume_from else None, **start_model)

    def _hand_over(self, *, complete: bool) -> None:
        if self.remote:
            self.remote.close(complete=complete)

    def _choose(self, resume: Resume, before: dict[str, Any]) -> Checkpoint | None:
        existing = self.checkpoints.paths()
        if resume == "never":
            if existing or before.get("state") == "finished":
                fix = "choose another run.name, delete the folder, or continue it with --resume auto"
                raise CheckpointError("the run folder already holds a run", folder=str(self.path), fix=fix)
            return None
        if resume != "auto":
            return self._explicit(Path(find_input(str(resume))).resolve(), existing)
        newest = self.checkpoints.latest()
        if newest is None and existing:
            fix = "see the warnings above, or start a new run with another run.name"
            raise CheckpointError(f"none of the {len(existing)} checkpoints is sound", folder=str(self.path), fix=fix)
        if newest is None and before.get("state") == "finished" and "step" in before:
            log.warning("%s finished step %s, but has no checkpoint: starting at step 0", self.path, before.get("step"))
        return newest

    def _explicit(self, path: Path, existing: list[Path]) -> Checkpoint:
        """Return the checkpoint at `path`, unless this run's folder already holds other, newer checkpoints."""
        if (path / "checkpoints").is_dir():
            chosen = CheckpointStore(path / "checkpoints", keep=1).latest()
            if chosen is None:
                raise CheckpointError("no checkpoint of that run is sound", folder=str(path))
        elif (path / MANIFEST).is_file():
            chosen = self.checkpoints.load(path)
        else:
            message = "the path to resume from is neither a checkpoint nor a run folder"
            raise CheckpointError(message, path=str(path), fix="give a step_… folder, or a run folder")
        if existing and existing[-1].resolve() != chosen.path:
            newest = self.checkpoints.latest()
            if newest and newest.path.resolve() != chosen.path:
                fix = f"choose another run.name, delete the newer ones, or use {newest.path.name} with --resume auto"
                message = "the run folder holds newer checkpoints, which the next --resume auto would use instead"
                raise CheckpointError(message, folder=str(self.path), asked=str(chosen.path), fix=fix)
        return chosen

    def _warn_of_changes(self, config: AnyConfig, stored: Path) -> None:
        changes = config_changes(stored, config)
        for key in ("run.num_steps", "run.num_epochs"):
            if lengths := changes.pop(key, None):
                log.warning("%s: %s -> %s; from now on the learning rate follows the new schedule", key, *lengths)
        self.config_changes = {key: change for key, change in changes.items() if not _is_harmless(key)}
        if self.config_changes:
            lines = "".join(f"\n  {key}: {old!r} -> {new!r}" for key, (old, new) in self.config_changes.items())
            log.warning("the config differs from %s in keys that affect training:%s", stored, lines)


def _is_harmless(key: str) -> bool:
    return key in _SIZES or key.startswith(_HARMLESS)


def lasting_keys(config: AnyConfig) -> dict[str, Any]:
    """Return the keys of a resolved config that affect the run's result, as {path: value}."""
    flat = _flatten(config.model_dump(mode="json"))
    return {key: value for key, value in flat.items() if not _is_harmless(key)}


def config_changes(stored: Path, config: AnyConfig) -> dict[str, tuple[Any, Any]]:
    """Return {key: (old, new)} between a stored config.yaml and `config`; empty if nothing is stored."""
    old = _flatten(read_mapping(stored, parse_yaml)[0])
    new = _flatten(config.model_dump(mode="json"))
    if not old:
        return {}
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def _store(config: AnyConfig) -> CheckpointStore:
    return CheckpointStore(run_path(config) / "checkpoints", config.num_checkpoints_kept, config=dump_config(config))


def _nothing_left(before: dict[str, Any], config: AnyConfig) -> bool:
    """Return True if the run that `run.json` describes has done all that the config asks for."""
    if not config.has_steps or before.get("state") != "finished":
        return False
    if before.get(STOPPED_EARLY) and before[STOPPED_EARLY] == config.stops_early:
        return True
    planned = config.num_steps
    if planned is None and before.get("num_epochs") == config.num_epochs:  # the data is not read to find this out
        planned = before.get("num_steps")
    return isinstance(planned, int) and before.get("step", 0) >= planned


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
