"""Local copies of what is in buckets: models, data and images are read from the disk of the node that uses them.

    local_copy("s3://bucket/models/base")      -> a folder below ~/.cache/vlaa-ray/buckets
    local_object("s3://bucket/images/a.png")   -> a file there, or None

A copy is named after the address and what the bucket lists there, so that a change makes a new copy. Processes of one
node share it: the first one downloads, the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from vlaa_ray.errors import StorageError
from vlaa_ray.storage.atomic import replacing
from vlaa_ray.storage.places import BucketPath, ObjectEntry

CACHE_KEY = "VLAA_RAY_CACHE"
"""The environment variable with another folder for all copies."""
_THREADS = 8
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


def local_copy(url: str, *, weights: bool = True) -> Path:
    """Return a local folder, or a file, with the content of an address; download it first if need be.

    With `weights` False, the large files of a model are left out.

    Raises:
        StorageError: there is nothing at this address, the bucket can't be used, or the disk has no room.

    """
    place = BucketPath.parse(url)
    found = place.files()
    if not found:
        entry = place.entry()
        if entry is None:
            fix = "check the address, and that the credentials may list and read it"
            raise StorageError("there is nothing at this address", got=url, fix=fix)
        return _kept(place, {"": entry})
    return _kept(place, {name: entry for name, entry in found.items() if weights or not name.endswith(_WEIGHTS)})


def local_object(url: str) -> Path | None:
    """Return a local file with the content of an object; None if there is no such object. Errors as `local_copy`."""
    place = BucketPath.parse(url)
    file = _folder() / "objects" / _digest(url) / place.name
    if file.is_file():
        return file
    if place.entry() is None:
        return None
    with _downloading(file.parent, url):
        if not file.is_file():
            with replacing(file) as partial:
                place.download(partial)
    return file


def _kept(place: BucketPath, entries: dict[str, ObjectEntry]) -> Path:
    """Return the copy of these objects below a place; the name "" stands for the place itself."""
    listing = "\n".join(f"{name} {entry.size_bytes} {entry.changed_ns}" for name, entry in sorted(entries.items()))
    folder = _folder() / _digest(f"{place}\n{listing}")
    target = folder / (place.name or place.bucket)
    if target.exists():
        return target
    with _downloading(folder, str(place)):
        if not target.exists():
            _require_room(folder, entries)
            partial = folder / ".partial"
            shutil.rmtree(partial, ignore_errors=True)
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(lambda name: (place / name).download(partial / (name or "object")), entries))
            (partial / "object" if "" in entries else partial).rename(target)
    return target


@contextmanager
def _downloading(folder: Path, what: str) -> Iterator[None]:
    """Let one process of this node at a time download into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except FileNotFoundError as error:
        raise StorageError(f"an object has vanished while {what} was copied: {error}", fix="run it again") from error
    except OSError as error:
        fix = f"free space there, or set {CACHE_KEY} to a folder on another disk"
        raise StorageError(f"can't copy {what} to this machine: {error}", folder=str(folder), fix=fix) from error


def _require_room(folder: Path, entries: dict[str, ObjectEntry]) -> None:
    needed, free = sum(entry.size_bytes for entry in entries.values()), shutil.disk_usage(folder).free
    if needed > free:
        fix = f"free space there, or set {CACHE_KEY} to a folder on another disk"
        raise StorageError(
            "the disk has no room for a copy", folder=str(folder), needed_bytes=needed, free_bytes=free, fix=fix
        )


def copies_folder(what: str) -> Path:
    """Return the folder for copies of one thing, which may not exist yet."""
    return _folder() / _digest(what)


def _folder() -> Path:
    return Path(os.environ.get(CACHE_KEY) or "~/.cache/vlaa-ray").expanduser() / "buckets"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
