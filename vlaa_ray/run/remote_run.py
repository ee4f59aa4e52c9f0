"""A run whose folder is in a bucket: it works in a local copy, which a mirror sends to the bucket.

The copy is the truth as long as one attempt follows another in it, on one machine. An attempt on another machine finds
an empty copy, or an outdated one, and makes it from what the bucket holds: the small files, and the newest checkpoint
that verifies.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from vlaa_ray.config import AnyConfig
from vlaa_ray.errors import CheckpointError, OwnershipLost, StorageError
from vlaa_ray.run.checkpoints import CheckpointStore, read_manifest
from vlaa_ray.run.mirror import NOT_SENT, Mirror
from vlaa_ray.run.ownership import OWNER, Ownership
from vlaa_ray.run.remote_checkpoints import copy_of, fetch, fetch_newest
from vlaa_ray.run.run_json import run_place
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.conditional import require_packages
from vlaa_ray.storage.layout import CHECKPOINTS, COPY, LOGS
from vlaa_ray.storage.places import BucketPath

log = logging.getLogger(__name__)


class RemoteRun:
    """The bucket's side of an open run folder."""

    def __init__(self, mirror: Mirror, upload_s: float) -> None:
        self._mirror, self._upload_s = mirror, upload_s

    @classmethod
    def open(cls, config: AnyConfig, local: Path) -> RemoteRun | None:
        """Become the owner of the run's folder, bring `local` up to date, and begin to send; None without a bucket.

        The caller must hold the lock of `local`.

        Raises:
            ConfigError: another process owns the folder, or a package is missing.
            StorageError: the bucket can't be used.
            CheckpointError: the folder has checkpoints, but none of them verifies.

        """
        place = run_place(config)
        if place is None:
            return None
        require_packages(place)
        copy = _copy_id(local)
        owner = Ownership.claim(place / OWNER, copy, config.run.lease_s, log.warning)
        mirror = Mirror(place, local, owner, keep=config.num_checkpoints_kept, lease_s=config.run.lease_s)
        try:
            names = small_files(place)
            if owner.previous_copy == copy:
                _complete(place, local)
            else:
                _replace(place, local, names, owner.attempt)
            mirror.start(names)
        except BaseException:
            mirror.release()
            raise
        return cls(mirror, config.run.upload_s)

    @property
    def place(self) -> BucketPath:
        """The run's folder in the bucket."""
        return self._mirror.place

    @property
    def attempt(self) -> int:
        """The number of this attempt of the run."""
        return self._mirror.attempt

    def tell(self, note: Callable[[str], None]) -> None:
        """Let `note` get a line when an outage begins and when it ends."""
        self._mirror.note = note

    def require_ownership(self) -> None:
        """Raise OwnershipLost if another attempt has taken over the folder."""
        self._mirror.require_ownership()

    def wake(self) -> None:
        """Begin to send what is new now, and not only at the next round."""
        self._mirror.wake()

    def metrics(self) -> dict[str, float]:
        """Return the `storage/…` metrics."""
        return self._mirror.metrics()

    def close(self, *, complete: bool) -> None:
        """Send what is missing for at most `run.upload_s`, stop, and give the folder back.

        Raises:
            StorageError, OwnershipLost: with `complete`, if the bucket does not have everything; else this is logged.

        """
        try:
            self._mirror.settle(self._upload_s)
        except (StorageError, OwnershipLost) as error:
            if complete:
                raise
            log.error("%s", error)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stop, and give the folder back."""
        self._mirror.stop()
        self._mirror.release()


def small_files(place: BucketPath, entries: Iterable[str] | None = None) -> list[str]:
    """Return the names of the files of a run folder in a bucket that are not part of checkpoints.

    `entries` are the names of all its files, if they are known.

    Raises:
        StorageError: the bucket can't be used.

    """
    return [name for name in entries or place.files() if name != OWNER and name.partition("/")[0] not in NOT_SENT]


def download(place: BucketPath, names: list[str], local: Path) -> None:
    """Download files of a run folder; one that has vanished meanwhile is left out.

    Raises:
        StorageError: the bucket can't be used.
        OSError: a file can't be written.

    """
    for name in names:
        data = (place / name).read()
        if data is not None:
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(local / name, data)


def _copy_id(local: Path) -> str:
    """Return the id of a local copy, made at its first use."""
    file = local / COPY
    if not file.is_file():
        write_whole(file, secrets.token_hex(16))
    return file.read_text(encoding="utf-8").strip()


def _replace(place: BucketPath, local: Path, names: list[str], attempt: int) -> None:
    """Make the local copy from what is in the bucket; what was there before is moved aside."""
    old = [path for path in local.iterdir() if path.name[0] != "." and (path.name != LOGS or any(path.iterdir()))]
    if old:
        aside = local.with_name(f"{local.name}.before-attempt-{attempt}")
        aside.mkdir(exist_ok=True)
        for path in old:
            path.rename(aside / path.name)
        log.warning("another attempt has gone on elsewhere; this machine's older copy is now %s", aside)
    (local / LOGS).mkdir(exist_ok=True)
    download(place, [name for name in names if name.partition("/")[0] != LOGS], local)
    if found := fetch_newest(place / CHECKPOINTS, local / CHECKPOINTS):
        log.warning("the run goes on from step %d, which attempt %d saved", found[0].step, found[0].attempt)


def _complete(place: BucketPath, local: Path) -> None:
    """Download the newest checkpoint of the local copy if ranks on other nodes have written parts of it."""
    for path in reversed(CheckpointStore(local / CHECKPOINTS, keep=1).paths()):
        try:
            _, listed = read_manifest(path)
        except CheckpointError:
            continue
        if all((path / name).is_file() for name in listed):
            return
        if remote := copy_of(path, place / CHECKPOINTS):
            fetch(remote, local / CHECKPOINTS)
            return
