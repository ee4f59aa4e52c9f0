"""Runs and models in buckets, for commands that only read them: they work on a copy on this machine.

fetch_run("s3://bucket/runs/quickstart")    -> a folder with all but the checkpoints and the logs
fetch_model("s3://bucket/runs/quickstart")  -> the folder of its newest checkpoint with the model, and its address
"""

from __future__ import annotations

import os
from pathlib import Path

from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import CheckpointError, ModelError, VlaaRayError
from vlaa_ray.run.remote_checkpoints import MODEL_FILES, fetch, fetch_newest, list_remote
from vlaa_ray.run.remote_run import small_files
from vlaa_ray.storage.atomic import replacing
from vlaa_ray.storage.layout import CHECKPOINTS, LOGS, MANIFEST
from vlaa_ray.storage.local_copies import copies_folder
from vlaa_ray.storage.places import BucketPath, ObjectEntry

_RUN_FILES = ("run.json", "config.yaml")


def fetch_run(url: str) -> Path:
    """Return a folder with the files of a run in a bucket; what has changed there since the last time is copied again.

    Raises:
        VlaaRayError: there is no run at this address.
        StorageError: the bucket can't be used.

    """
    place = BucketPath.parse(url)
    entries = place.files()
    names = [name for name in small_files(place, entries) if name.partition("/")[0] != LOGS]
    if not any(name in names for name in _RUN_FILES):
        raise VlaaRayError(
            "no such run folder", fix="give the address of a run, such as s3://BUCKET/runs/NAME", got=url
        )
    folder = _copy_of(place)
    for name in names:
        _bring(place / name, entries[name], folder / name)
    for file in folder.rglob("*"):
        inner = file.relative_to(folder)
        if file.is_file() and inner.parts[0] != CHECKPOINTS and inner.as_posix() not in names:
            file.unlink()
    return folder


def local_run(text: str) -> Path:
    """Return the folder of a run that a user names by its path or by its address in a bucket; errors as `fetch_run`."""
    return fetch_run(text) if is_remote(text) else Path(text)


def publish(url: str, file: Path) -> str:
    """Put a file into a run's folder in a bucket, and return its address.

    Raises:
        StorageError: the bucket can't be used.

    """
    place = BucketPath.parse(url) / file.name
    place.upload(file)
    return str(place)


def names_remote_run(url: str) -> bool:
    """Return True if an address names a run or a checkpoint in a bucket, and not the folder of a model."""
    names = BucketPath.parse(url).files()
    return "config.json" not in names and any(
        name in (MANIFEST, "run.json") or name.startswith(f"{CHECKPOINTS}/") for name in names
    )


def fetch_model(url: str) -> tuple[Path, str]:
    """Return the local folder of a checkpoint with its model, and the model's address in the bucket.

    `url` names a run, whose newest sound checkpoint is taken, or one of its checkpoints, or the `hf` in one.

    Raises:
        ModelError: there is no checkpoint at this address.
        CheckpointError: none of them is sound.
        StorageError: the bucket can't be used.

    """
    place = BucketPath.parse(url)
    place = place.parent if place.name == "hf" else place
    run = place.parent.parent if place.parent.name == CHECKPOINTS else place
    local = fetch_run(str(run))
    if run == place:
        found = fetch_newest(run / CHECKPOINTS, local / CHECKPOINTS, MODEL_FILES)
        if found is None:
            fix = "let the run reach its first checkpoint (checkpoint.every_steps)"
            raise CheckpointError("the run has no checkpoint in the bucket", run=str(run), fix=fix)
        return found[1], str(found[0].place / "hf")
    named = [remote for remote in list_remote(run / CHECKPOINTS) if remote.place.name == place.name]
    if not named or not named[0].is_finished:
        raise ModelError("there is no finished checkpoint at this address", got=url)
    return fetch(named[0], local / CHECKPOINTS, MODEL_FILES), str(place / "hf")


def _copy_of(place: BucketPath) -> Path:
    return copies_folder(f"run {place}") / place.name


def _bring(place: BucketPath, entry: ObjectEntry, file: Path) -> None:
    """Download an object unless the file has its size and its time."""
    if file.is_file() and (file.stat().st_size, file.stat().st_mtime_ns) == (entry.size_bytes, entry.changed_ns):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        try:
            place.download(partial)
        except FileNotFoundError:  # the run has replaced it meanwhile
            partial.touch()
        os.utime(partial, ns=(entry.changed_ns, entry.changed_ns))
