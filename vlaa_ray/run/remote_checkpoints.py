"""Checkpoints in a bucket. One without a manifest, or with a file that is not as the manifest says, does not exist.

    checkpoints/step_000010.2/    step 10, sent by attempt 2 of the run; manifest.json comes last, in one put

Every attempt writes below names of its own, so that an attempt which has been replaced can't spoil a newer one's files.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vlaa_ray.errors import CheckpointError, StorageError
from vlaa_ray.run.checkpoints import Listed, read_manifest, verify, write_manifest
from vlaa_ray.storage.conditional import put_if
from vlaa_ray.storage.layout import CONFIG, MANIFEST, STATE
from vlaa_ray.storage.places import BucketPath, ObjectEntry

_NAME = re.compile(r"(step_(\d{6,}))\.(\d+)")
_THREADS = 4
MODEL_FILES = ("hf/", CONFIG, STATE)
"""What a model is used with; the rest of a checkpoint, several times its size, is for training on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteCheckpoint:
    """A checkpoint in a bucket: its step, the attempt that sent it, its folder, and the objects below it."""

    step: int
    attempt: int
    place: BucketPath
    files: dict[str, ObjectEntry]

    @property
    def is_finished(self) -> bool:
        """True if it has a manifest, so that all its files have been sent."""
        return MANIFEST in self.files


def list_remote(folder: BucketPath) -> list[RemoteCheckpoint]:
    """Return all checkpoints below `folder`, finished or not: those of older attempts first, then by their step.

    Raises:
        StorageError: the bucket can't be used.

    """
    grouped: dict[str, dict[str, ObjectEntry]] = {}
    for name, entry in folder.files().items():
        top, _, inner = name.partition("/")
        grouped.setdefault(top, {})[inner] = entry
    matches = [(match, files) for name, files in grouped.items() if (match := _NAME.fullmatch(name))]
    found = [RemoteCheckpoint(int(m[2]), int(m[3]), folder / m[0], files) for m, files in matches]
    return sorted(found, key=lambda checkpoint: (checkpoint.attempt, checkpoint.step))


def copy_of(local: Path, folder: BucketPath) -> RemoteCheckpoint | None:
    """Return the finished checkpoint in the bucket that is the very one in the folder `local`; None without one.

    Raises:
        StorageError: the bucket can't be used.
        FileNotFoundError: the local checkpoint has no manifest.

    """
    manifest = (local / MANIFEST).read_bytes()
    for remote in reversed(list_remote(folder)):
        if remote.place.name.partition(".")[0] == local.name and remote.is_finished:
            if (remote.place / MANIFEST).read() == manifest:
                return remote
    return None


def send(local: Path, folder: BucketPath, attempt: int, before_last: Callable[[], None]) -> None:
    """Send the finished checkpoint in the folder `local`; files that are there already are not sent again.

    Files that are listed but not on this node must have been sent by those who have them. `before_last` is called
    before the manifest is put, and may raise.

    Raises:
        StorageError: the bucket can't be used now.
        CheckpointError: a file has changed since it was sealed, or is nowhere.
        FileNotFoundError: the checkpoint has been deleted meanwhile.

    """
    step, listed = read_manifest(local)
    place = folder / f"step_{step:06d}.{attempt}"
    there = place.files()
    for name, (digest, size) in listed.items():
        if name in there and there[name].size_bytes == size:
            continue
        sent, _ = (place / name).upload(local / name)
        if sent != digest:
            (place / name).delete()
            raise CheckpointError(f"{name} has changed on the disk since it was saved", checkpoint=str(local))
    there = place.files()
    wrong = [name for name, (_, size) in listed.items() if name not in there or there[name].size_bytes != size]
    if wrong:
        raise StorageError(f"{wrong[0]} has not arrived whole in {place}", fix="it is sent again")
    before_last()
    manifest = (local / MANIFEST).read_bytes()
    if put_if(place / MANIFEST, manifest, None) is None and (place / MANIFEST).read() != manifest:
        raise CheckpointError("another checkpoint of this attempt and step is there", checkpoint=str(place))


def fetch(remote: RemoteCheckpoint, folder: Path, only: tuple[str, ...] = ("",)) -> Path:
    """Download a checkpoint into `folder`, verify it, and return its folder there, `step_NNNNNN`.

    With `only`, files whose names begin otherwise are left out, and out of the manifest, too.

    Raises:
        CheckpointError: a file is missing or not as the manifest says.
        StorageError: the bucket can't be used.

    """
    partial, target = folder / f".step_{remote.step:06d}.fetched.partial", folder / f"step_{remote.step:06d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        (remote.place / MANIFEST).download(partial / MANIFEST)
        step, listed = read_manifest(partial)
        wanted = {name: entry for name, entry in listed.items() if name.startswith(only)}
        _refuse_incomplete(remote, wanted)
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda name: (remote.place / name).download(partial / name), wanted))
        write_manifest(partial, step, wanted)
        verify(partial)
    except FileNotFoundError as error:
        raise CheckpointError("a file of the checkpoint is missing", checkpoint=str(remote.place)) from error
    except OSError as error:
        fix = f"free space in {folder}; run.local_dir chooses another place"
        raise CheckpointError(f"can't store the checkpoint: {error}", checkpoint=str(remote.place), fix=fix) from error
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def fetch_newest(folder: BucketPath, into: Path, only: tuple[str, ...] = ("",)) -> tuple[RemoteCheckpoint, Path] | None:
    """Download the newest checkpoint that verifies, and return it with its folder; None if none was ever finished.

    One that does not verify is skipped with a warning.

    Raises:
        CheckpointError: there are finished checkpoints, but none of them verifies.
        StorageError: the bucket can't be used.

    """
    finished = [checkpoint for checkpoint in list_remote(folder) if checkpoint.is_finished]
    for checkpoint in reversed(finished):
        try:
            return checkpoint, fetch(checkpoint, into, only)
        except CheckpointError as error:
            log.warning("checkpoint skipped: %s", error)
    if finished:
        fix = "see the warnings above, or start a new run with another run.name"
        raise CheckpointError(f"none of the {len(finished)} checkpoints is sound", folder=str(folder), fix=fix)
    return None


def retain(folder: BucketPath, keep: int, attempt: int) -> None:
    """Delete all but the `keep` newest finished checkpoints, and what broken-off uploads have left.

    Raises:
        StorageError: the bucket can't be used.

    """
    found = list_remote(folder)
    finished = [checkpoint for checkpoint in found if checkpoint.is_finished]
    newest = max((checkpoint.step for checkpoint in finished if checkpoint.attempt == attempt), default=-1)
    left = [
        checkpoint
        for checkpoint in found
        if not checkpoint.is_finished and (checkpoint.attempt < attempt or checkpoint.step < newest)
    ]
    for checkpoint in [*finished[: max(0, len(finished) - keep)], *left]:
        (checkpoint.place / MANIFEST).delete()  # first: without it, the rest is no checkpoint
        checkpoint.place.delete_folder()


def _refuse_incomplete(remote: RemoteCheckpoint, listed: Listed) -> None:
    for name, (_, size) in listed.items():
        entry = remote.files.get(name)
        if entry is None or entry.size_bytes != size:
            what = "is missing" if entry is None else "has another size"
            raise CheckpointError(f"{name} {what}", checkpoint=str(remote.place))
