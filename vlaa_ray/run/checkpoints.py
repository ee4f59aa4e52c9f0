"""The store of checkpoints. A checkpoint is complete and verified, or it does not exist.

    store = CheckpointStore(run / "checkpoints", keep=2)
    folder = store.begin(step=10)               # .step_000010.partial; the ranks write their files into it
    store.commit(step=10, state={"cursor": 5})  # hashes, fsyncs, renames to step_000010
    store.latest()                              # the newest checkpoint in which every file has its sha256

A checkpoint is a folder with `manifest.json` (sha256 and size of every other file) and `state.json`. The rename comes
last, after every byte is on the disk. So a process that is killed at any point leaves at worst a `.partial` folder,
which the next `begin` removes. One process at a time may save; readers need no lock.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlaa_ray.errors import CheckpointError
from vlaa_ray.storage.atomic import sync_folder
from vlaa_ray.storage.layout import CONFIG, MANIFEST, STATE

Listed = dict[str, tuple[str, int]]
"""What a manifest lists: (sha256, size in bytes) of each file by its name."""
_NAME = re.compile(r"step_(\d{6,})|\.step_(\d{6,})\.replaced")
_HASH_THREADS = min(8, os.cpu_count() or 1)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified checkpoint: its step, its folder, and the state that was given to `commit`."""

    step: int
    path: Path
    state: dict[str, Any] = field(repr=False)


class CheckpointStore:
    """The checkpoints of one run, below `folder`; `config` (the resolved YAML) is stored in each of them.

    `tag` becomes part of the names of temporary folders, where another process needs it.
    """

    def __init__(self, folder: Path, keep: int, *, config: str | None = None, tag: str = "") -> None:
        self.folder = Path(folder)
        self.keep = keep
        self._config = config
        self._tag = tag

    def begin(self, step: int) -> Path:
        """Return an empty temporary folder for the files of `step`; first remove what killed saves left.

        Raises:
            CheckpointError: the folder can't be made.

        """
        with _as_checkpoint_error("start a checkpoint", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._recover()
            partial = self.partial(step)
            partial.mkdir()
        return partial

    def commit(self, step: int, state: dict[str, Any], elsewhere: Listed | None = None) -> Path:
        """Finish the checkpoint of `step` and return its folder; then delete checkpoints that are not to be kept.

        `state` must be JSON. Files that ranks wrote into the folder of `begin` are taken as they are. The manifest also
        lists the files `elsewhere`, which ranks on other nodes have sent to the run's bucket.

        Raises:
            CheckpointError: it can't be written, for instance because the disk is full; older ones are untouched.

        """
        partial, target = self.partial(step), self.folder / f"step_{step:06d}"
        try:
            with _as_checkpoint_error("save a checkpoint", partial):
                _seal(partial, step, _as_json(state, partial), self._config, elsewhere or {})
                self._rename(partial, target)
        except CheckpointError:
            shutil.rmtree(partial, ignore_errors=True)  # frees the space now, not only at the next `begin`
            raise
        self._retain(target)
        return target

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is sound, None without any; broken ones are skipped with a warning."""
        for path in reversed(self.paths()):
            try:
                return self.load(path)
            except CheckpointError as error:
                log.warning("checkpoint skipped: %s", error)
        return None

    def load(self, path: str | Path) -> Checkpoint:
        """Verify and return the checkpoint at `path`.

        Raises:
            CheckpointError: a file is missing, altered or not listed; the message names the first one.

        """
        path = Path(path)
        step = verify(path)
        return Checkpoint(step=step, path=path, state=_read_json(path / STATE))

    def paths(self) -> list[Path]:
        """Return the folders of all checkpoints, oldest step first, without verifying them."""
        if not self.folder.is_dir():
            return []
        numbered = [(_step_of(path.name), path.name[0] != ".", path) for path in self.folder.iterdir()]
        return [path for step, _, path in sorted(numbered) if step >= 0 and path.is_dir()]

    def partial(self, step: int) -> Path:
        """Return the temporary folder that `begin` makes and `commit` renames."""
        return self.folder / f".step_{step:06d}{self._tag}.partial"

    def _rename(self, partial: Path, target: Path) -> None:
        """Rename `partial` to `target`; an older checkpoint of the same step can be loaded until then."""
        replaced = self.folder / f".{target.name}.replaced"
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
        sync_folder(self.folder)
        if replaced.exists():
            shutil.rmtree(replaced)

    def _recover(self) -> None:
        """Clean up after a killed save: delete partial folders, and restore a checkpoint that was not replaced yet."""
        for path in self.folder.glob(".step_*.partial"):
            shutil.rmtree(path)
        for path in self.folder.glob(".step_*.replaced"):
            target = self.folder / path.name.removeprefix(".").removesuffix(".replaced")
            if target.exists():
                shutil.rmtree(path)
            else:
                path.rename(target)

    def _retain(self, newest: Path) -> None:
        """Delete the checkpoints older than the `keep` newest; incomplete ones don't count among these."""
        paths = self.paths()
        complete = [path for path in paths if path != newest and _looks_complete(path)]
        kept = [newest, *complete[::-1][: self.keep - 1]]
        for path in paths[: min(paths.index(path) for path in kept)]:
            try:
                shutil.rmtree(path)
            except OSError as error:
                log.warning("can't delete the old checkpoint %s: %s", path, error)


def verify(path: Path, below: str = "") -> int:
    """Return the step of the checkpoint at `path` after checking it against its manifest.

    With `below`, such as "hf/", only files whose names begin with it are hashed; of all others only the size is
    compared. A model that is only used needs no proof of the optimizer's state, which is several times its size.

    Raises:
        CheckpointError: a file is missing, altered, not listed or a link, or the manifest names a path outside the
            folder; the message names the file.

    """
    if path.is_symlink():
        raise _broken(path.parent, path.name, "is a link or a device")
    step, listed = read_manifest(path)
    with _as_checkpoint_error("read a checkpoint", path):
        _compare(path, listed, below)
    return step


def _compare(path: Path, listed: Listed, below: str) -> None:
    present = {_relative(file, path): file for file in _files(path)}
    if missing := sorted(set(listed) - set(present)):
        raise _broken(path, missing[0], "is missing")
    if unknown := sorted(set(present) - set(listed)):
        raise _broken(path, unknown[0], "is not in the manifest", fix="move files that were added out of the folder")
    for name, (_, size) in listed.items():
        if (found := present[name].stat().st_size) != size:
            raise _broken(path, name, "has another size", got=found, expected=size)
    hashed = {name: file for name, file in present.items() if name.startswith(below)}
    for name, digest in _digests(hashed).items():
        if digest != listed[name][0]:
            raise _broken(path, name, "has another sha256", got=digest, expected=listed[name][0])


def _seal(folder: Path, step: int, state: str, config: str | None, elsewhere: Listed) -> None:
    """Write state, config and manifest, and force every file and folder to the disk."""
    (folder / STATE).write_text(state, encoding="utf-8")
    if config is not None:
        (folder / CONFIG).write_text(config, encoding="utf-8")
    files = {_relative(file, folder): file for file in _files(folder)}
    for file in files.values():
        _sync_file(file)
    here = {name: (digest, files[name].stat().st_size) for name, digest in _digests(files).items()}
    write_manifest(folder, step, elsewhere | here)
    for parent, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(parent))


def write_manifest(folder: Path, step: int, listed: Listed) -> None:
    """Write `manifest.json` into the folder of a checkpoint, and bring it to the disk."""
    entries = {name: {"sha256": digest, "size_bytes": size} for name, (digest, size) in listed.items()}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"step": step, "files": entries}, indent=1), encoding="utf-8")
    _sync_file(manifest)


def _files(folder: Path) -> Iterator[Path]:
    """Yield every file below `folder` except the manifest; CheckpointError for links, sockets and devices."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in sorted(folders + names):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _broken(folder, _relative(path, folder), "is a link or a device")
            if stat.S_ISREG(mode) and path != folder / MANIFEST:
                yield path


def _raise(error: OSError) -> None:
    raise error


def _digests(files: dict[str, Path]) -> dict[str, str]:
    """Return the sha256 of every file by name; several are hashed at once, since hashing frees the interpreter lock."""

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        return dict(zip(files, pool.map(digest, files.values()), strict=True))


def read_manifest(path: Path) -> tuple[int, Listed]:
    """Return the step of the checkpoint at `path` and what its manifest lists.

    Raises:
        CheckpointError: there is no manifest, or it can't be used.

    """
    manifest = _read_json(path / MANIFEST)
    try:
        step = int(manifest["step"])
        listed = {name: (str(entry["sha256"]), int(entry["size_bytes"])) for name, entry in manifest["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, MANIFEST, f"is not a manifest ({type(error).__name__}: {error})") from error
    for name in listed:
        pure = Path(name)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != name:
            raise _broken(path, MANIFEST, f"names {name!r}, which is outside the folder")
    if STATE not in listed:
        raise _broken(path, MANIFEST, f"does not list {STATE}")
    return step, listed


def _read_json(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        raise _broken(path.parent, path.name, "is a link or a device")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _broken(path.parent, path.name, "is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path.parent, path.name, f"can't be read ({type(error).__name__}: {error})") from error
    if not isinstance(value, dict):
        raise _broken(path.parent, path.name, "is not a JSON object", got=type(value).__name__)
    return value


def _as_json(state: dict[str, Any], folder: Path) -> str:
    try:
        return json.dumps(state, indent=1)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the state of a checkpoint must be JSON: {error}", folder=str(folder)) from error


def _looks_complete(path: Path) -> bool:
    """Return True if every listed file exists with its size; a quick check without hashing."""
    try:
        _, listed = read_manifest(path)
        return all((path / name).lstat().st_size == size for name, (_, size) in listed.items())
    except (CheckpointError, OSError):
        return False


def _broken(path: Path, name: str, what: str, *, fix: str = "", **facts: Any) -> CheckpointError:
    fix = fix or "resume from another checkpoint, or delete this one"
    return CheckpointError(f"{name} {what}", checkpoint=str(path), **facts, fix=fix)


@contextmanager
def _as_checkpoint_error(doing: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = f"check space and permissions of {folder.parent}; other checkpoints are untouched"
        raise CheckpointError(f"can't {doing}: {error}", folder=str(folder), fix=fix) from error


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _step_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1] or match[2]) if match else -1


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
