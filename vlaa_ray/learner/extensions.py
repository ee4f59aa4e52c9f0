"""The lock around a C++ extension of torch, made so that a killed run can't block later ones.

torch guards an extension's folder with a file called `lock`. A process that is killed leaves it behind, and every
later process then waits for it. Here a lock of the operating system, which ends with its process, is held around the
load. A `lock` file that is found while it is held is therefore stale, and is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from vlaa_ray.errors import DeadlineExceeded

FOLDER_KEY = "TORCH_EXTENSIONS_DIR"
_DEADLINE_S = 280.0  # below the 300 s that the ranks wait for each other
_POLL_S = 0.1


def extension_folder(torch_version: str) -> Path:
    """Return the folder of built extensions: the user's TORCH_EXTENSIONS_DIR, else one for this environment's torch.

    An extension is built anew if the paths of the headers differ, so two environments must not share a folder.
    """
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
