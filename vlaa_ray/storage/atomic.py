"""Files that are written whole: a reader, a crash or a full disk sees the old file or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, data: bytes | str) -> None:
    """Replace the file at `path` by `data` (text as UTF-8) and bring it to the disk; OSError if it can't be written."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Several threads and processes may write the same file: each has a temporary path of its own, and the last one wins.

    Raises:
        OSError: a folder or a device is there, which is never replaced; or the file can't be written.

    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "a folder or a device is in the place of the file", str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def sync_folder(path: Path) -> None:
    """Bring the folder's entries to the disk: without it a rename may be lost in a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
