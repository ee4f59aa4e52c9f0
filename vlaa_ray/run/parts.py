"""Checkpoints whose files are written on several nodes that share no disk.

The driver begins a checkpoint in its local copy of the run folder. A rank that finds the driver's mark there shares its
disk, and writes as usual. On another node, one of the ranks sends the files of all ranks of that node to the bucket, in
the background, and lists them. The driver takes these lists into the manifest, which comes last.

    parts.mark(partial)                          # the driver, before the ranks write
    sender.hand_over(partial, num_ranks=8)       # each rank, after all ranks have written
    elsewhere = parts.collect(step, partial)     # the driver, before it seals the checkpoint
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path

from vlaa_ray.config import AnyConfig
from vlaa_ray.errors import CheckpointError, ConfigError, StorageError
from vlaa_ray.run.checkpoints import Listed, read_manifest, verify
from vlaa_ray.run.remote_checkpoints import copy_of, fetch, list_remote
from vlaa_ray.run.run_json import run_place
from vlaa_ray.storage.layout import CHECKPOINTS, COPY, MANIFEST
from vlaa_ray.storage.places import BucketPath

_MARK, _TAKEN, _NUM_RANKS = ".driver_is_here", ".taken", ".num_ranks"
_LISTS = "parts"
_PARTIAL = re.compile(r"\.(step_\d{6,}\.\d+)\.partial")
_POLL_S = 1.0

log = logging.getLogger(__name__)


class CheckpointParts:
    """The driver's side; `folder` is where the run's checkpoints are in the bucket."""

    def __init__(self, folder: BucketPath, attempt: int, timeout_s: float) -> None:
        self._folder, self._attempt, self._timeout_s = folder, attempt, timeout_s

    def mark(self, partial: Path) -> None:
        """Show the ranks that share this disk that they do."""
        (partial / _MARK).touch()

    def collect(self, step: int, partial: Path) -> Listed:
        """Return what ranks on other nodes have sent for the checkpoint; wait until all have.

        Raises:
            CheckpointError: not all have after the deadline for checkpoints.
            StorageError: the bucket can't be used.

        """
        file = partial / _NUM_RANKS
        here = json.loads(file.read_text()) if file.is_file() else {"num_ranks": 0, "of": None}
        for name in (_MARK, _TAKEN, _NUM_RANKS):
            (partial / name).unlink(missing_ok=True)
        if here["num_ranks"] == here["of"]:
            return {}
        place = self._folder / f"step_{step:06d}.{self._attempt}" / _LISTS
        deadline = time.monotonic() + self._timeout_s
        while True:
            lists = [json.loads(data) for name in place.files() if (data := (place / name).read())]
            sent = here["num_ranks"] + sum(part["num_ranks"] for part in lists)
            if lists and sent == lists[0]["of"]:
                return {name: (digest, size) for part in lists for name, (digest, size) in part["files"].items()}
            if time.monotonic() > deadline:
                raise CheckpointError(
                    f"ranks on other nodes have not sent their files within {self._timeout_s:g} s",
                    num_ranks_here=here["num_ranks"],
                    num_lists=len(lists),
                    bucket=str(place.parent),
                    fix="look at logs/learner_*.log on those nodes; raise deadlines.checkpoint_s",
                )
            time.sleep(_POLL_S)


class PartSender:
    """A rank's side; it does nothing on a node that shares the driver's disk, or where the run needs no bucket."""

    def __init__(self, config: AnyConfig, ranks_on_node: int, timeout_s: float) -> None:
        self._run, self._ranks_on_node, self._timeout_s = run_place(config), ranks_on_node, timeout_s
        self._thread: threading.Thread | None = None

    def prepare(self, partial: Path) -> None:
        """Make the folder on a node where the driver could not, and wait for the files of the checkpoint before.

        Raises:
            CheckpointError: they have not been sent within the deadline for checkpoints.

        """
        if self._run is None:
            return
        if self._thread:
            self._thread.join(self._timeout_s)
            if self._thread.is_alive():
                raise CheckpointError("the files of the checkpoint before are still being sent", node=_node())
        partial.mkdir(parents=True, exist_ok=True)
        attempt = partial.name.rsplit(".", 2)[1]
        for left in partial.parent.glob(".step_*.partial"):  # of attempts that were killed on this node
            if left.name.rsplit(".", 2)[1] != attempt:
                shutil.rmtree(left, ignore_errors=True)

    def hand_over(self, partial: Path, num_ranks: int) -> None:
        """Send the files of this node in the background; all `num_ranks` ranks call it, once all have written."""
        if self._run is None:
            return
        try:
            os.close(os.open(partial / _TAKEN, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return  # another rank of this node does it
        if (partial / _MARK).is_file():
            (partial / _NUM_RANKS).write_text(json.dumps({"num_ranks": self._ranks_on_node, "of": num_ranks}))
            return
        self._thread = threading.Thread(target=self._send, args=(partial, num_ranks), name="parts", daemon=True)
        self._thread.start()

    def _send(self, partial: Path, num_ranks: int) -> None:
        match = _PARTIAL.fullmatch(partial.name)
        assert match and self._run  # the driver of this run has made the name
        place = self._run / CHECKPOINTS / match[1]
        names = [path.relative_to(partial).as_posix() for path in sorted(partial.rglob("*")) if path.is_file()]
        deadline = time.monotonic() + self._timeout_s
        listed: Listed = {}
        while time.monotonic() < deadline:
            try:
                for name in names:
                    if name not in listed and not name.startswith("."):
                        listed[name] = (place / name).upload(partial / name)
                content = {"num_ranks": self._ranks_on_node, "of": num_ranks, "files": listed}
                (place / _LISTS / f"{_node()}.json").write(json.dumps(content).encode())
                break
            except StorageError as error:
                log.warning("%s; it is tried again", error)
                time.sleep(_POLL_S)
            except OSError:
                log.exception("the files of a checkpoint can't be read")
                break
        shutil.rmtree(partial, ignore_errors=True)


def bring_checkpoint(config: AnyConfig, folder: Path) -> None:
    """Download a checkpoint of the run into `folder`, where this node does not have all of it; else do nothing.

    Several ranks of a node may call this at the same time.

    Raises:
        CheckpointError: the bucket has no such checkpoint, or it does not verify.
        StorageError: the bucket can't be used.

    """
    place = run_place(config)
    if place is None or ((folder.parents[1] / COPY).is_file() and _is_whole(folder)):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".bringing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = [item for item in list_remote(place / CHECKPOINTS) if item.place.name.startswith(f"{folder.name}.")]
        newest = next((item for item in reversed(found) if item.is_finished), None)
        if newest is None:
            raise CheckpointError("the checkpoint is not in the bucket yet", checkpoint=folder.name, bucket=str(place))
        if not _is_whole(folder) or _differs(folder, newest.place):
            fetch(newest, folder.parent)


def verify_for_ranks(config: AnyConfig, folder: Path) -> None:
    """Check that every rank of the run can load the checkpoint in `folder`, as the driver sees it.

    It is sound here; or ranks on other nodes wrote parts of it, and the run's bucket has all of it.

    Raises:
        CheckpointError: a file is missing or altered; or the bucket does not have all parts, or can't be used.

    """
    place, (_, listed) = run_place(config), read_manifest(folder)
    if place is None or all((folder / name).is_file() for name in listed):
        verify(folder)
        return
    try:
        is_there = copy_of(folder, place / CHECKPOINTS) is not None
    except StorageError as error:
        raise CheckpointError(f"its parts are in a bucket that can't be used: {error.message}") from error
    if not is_there:
        message = "ranks on other nodes wrote parts of it, and the bucket does not have all of them yet"
        raise CheckpointError(message, checkpoint=folder.name, bucket=str(place))


def require_driver_here(config: AnyConfig, folder: Path) -> None:
    """Raise ConfigError in a rank on another node than the driver's if the run folder is a copy for a bucket.

    The ranks of training on written answers write the run's files themselves, which the driver's node sends.
    """
    if run_place(config) and not (folder / COPY).is_file():
        fix = "set run.dir to a file system that all nodes share, or give the head node the learner's GPUs"
        raise ConfigError("a learner rank is not on the node of the driver, which sends the run to its bucket", fix=fix)


def _is_whole(folder: Path) -> bool:
    """Return True if the checkpoint has every file that its manifest lists."""
    try:
        return all((folder / name).is_file() for name in read_manifest(folder)[1])
    except CheckpointError:
        return False


def _differs(folder: Path, remote: BucketPath) -> bool:
    """Return True if the local checkpoint is another one than the bucket's, for instance of an older attempt."""
    return (remote / MANIFEST).read() != (folder / MANIFEST).read_bytes()


def _node() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname())
