"""A C++ extension of torch that is built once, under a lock that a killed run can't leave behind.

torch asks ninja before each load, and ninja builds anew when the paths of headers or its own version differ. Two
processes that differ so, as with another ninja on PATH, would build for each other in turn. So the versions that an
extension was built with are noted beside it, and what was built with the same ones is loaded as it is.

torch guards an extension's folder with a file called `lock`. A process that is killed leaves it behind, and every
later process then waits for it. Here a lock of the operating system, which ends with its process, is held around the
load. A `lock` file that is found while it is held is therefore stale, and is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from vlaa_ray.errors import DeadlineExceeded

FOLDER_KEY = "TORCH_EXTENSIONS_DIR"
_DEADLINE_S = 280.0  # below the 300 s that the ranks wait for each other
_POLL_S = 0.1
_BUILT_WITH = "built_with"


def extension_folder(torch_version: str) -> Path:
    """Return the folder of built extensions: the user's TORCH_EXTENSIONS_DIR, else one for this environment's torch."""
    if own := os.environ.get(FOLDER_KEY):
        return Path(own)
    environment = hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}-{environment}-torch{torch_version}"
    return Path.home() / ".cache" / "vlaa-ray" / "torch_extensions" / version


@contextlib.contextmanager
def baton_removed(folder: Path, name: str, deadline_s: float = _DEADLINE_S) -> Iterator[None]:
    """Hold the lock of extension `name` below `folder`; first remove the `lock` file that a killed process left.

    Raises:
        DeadlineExceeded: another process holds the lock for longer than `deadline_s` seconds.

    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.flock"
    with path.open("w") as file:
        _take(file.fileno(), path, deadline_s)
        (folder / name / "lock").unlink(missing_ok=True)
        yield


def load_built(folder: Path, name: str, versions: str) -> ModuleType | None:
    """Return the extension that `note_built` noted with the same versions; None if it must be built.

    A note of other versions is removed, since a build that is killed leaves half of a library.
    """
    note, library = folder / name / _BUILT_WITH, folder / name / f"{name}.so"
    if not note.is_file() or note.read_text(encoding="utf-8") != versions:
        note.unlink(missing_ok=True)
        return None
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None and spec.loader is not None  # the name ends with .so
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def note_built(folder: Path, name: str, versions: str) -> None:
    """Note that the extension has been built, and could be loaded, with these versions."""
    (folder / name / _BUILT_WITH).write_text(versions, encoding="utf-8")


def _take(descriptor: int, path: Path, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise DeadlineExceeded(
                    f"another process has built DeepSpeed's extension for more than {deadline_s:g} s",
                    file=str(path),
                    fix="end that process, or set TORCH_EXTENSIONS_DIR to another folder",
                ) from None
        time.sleep(_POLL_S)
