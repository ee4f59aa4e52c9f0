"""The copy of a run folder in a bucket, kept up to date in the background while the run works in a local folder.

    mirror = Mirror(place, local, owner, keep=2, lease_s=60)
    mirror.start(names)              # of the files that the bucket has now
    mirror.require_ownership(); mirror.metrics()
    mirror.settle(timeout_s=600)     # at the end: everything is there, or StorageError
    mirror.stop()

One thread renews the ownership and sends small files that have changed; another one sends finished checkpoints, newest
first. The local folder is the truth until the bucket has all of it: during an outage the run goes on, says since when
the bucket lags, and both threads try again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vlaa_ray.errors import CheckpointError, OwnershipLost, StorageError
from vlaa_ray.run.checkpoints import CheckpointStore
from vlaa_ray.run.ownership import Ownership
from vlaa_ray.run.remote_checkpoints import copy_of, retain, send
from vlaa_ray.storage.layout import CHECKPOINTS, HELDOUT_MODEL, LOGS, MANIFEST
from vlaa_ray.storage.places import BucketPath
from vlaa_ray.text.durations import duration

_ROUND_S = 2.0
_SEND_EVERY_S, _SEND_LOGS_EVERY_S = 10.0, 60.0  # a file that grows all the time would be sent all the time
_SILENT_S = 5.0
_RENEW_SHARE = 6  # renewals in a lease
_STOP_S = 30.0
NOT_SENT = (CHECKPOINTS, HELDOUT_MODEL, "ray_train")
"""What lies in a run folder for this node only, or is sent otherwise."""

log = logging.getLogger(__name__)


class Mirror:
    """The threads that send a run folder to its bucket."""

    def __init__(self, place: BucketPath, local: Path, owner: Ownership, *, keep: int, lease_s: float) -> None:
        self.place, self._local, self._owner = place, local, owner
        self._keep, self._renew_s = keep, lease_s / _RENEW_SHARE
        self.note: Callable[[str], None] = log.warning
        """It gets a line when an outage begins and when it ends."""
        self._stores = CheckpointStore(local / CHECKPOINTS, keep)
        self._sent: dict[str, tuple[int, int]] = {}
        self._sent_at: dict[str, float] = {}
        self._files = threading.Lock()
        self._hurry = False
        self._sent_checkpoints: set[str] = set()
        self._renewed = time.monotonic()
        self._stop = threading.Event()
        self._workers = [
            _Worker("files", self._send_files, self._stop, self._tell),
            _Worker("checkpoints", self._send_checkpoints, self._stop, self._tell),
        ]

    @property
    def attempt(self) -> int:
        """The number of this attempt of the run."""
        return self._owner.attempt

    def start(self, names: Iterable[str]) -> None:
        """Begin to send; of the files `names` in the bucket, those that are not in the local folder are deleted."""
        self._sent = {name: (-1, -1) for name in names if not _is_log(name)}
        for worker in self._workers:
            worker.start()

    def require_ownership(self) -> None:
        """Raise OwnershipLost if another attempt has taken over the folder."""
        self._owner.require()

    def wake(self) -> None:
        """Begin the next round of both threads now."""
        for worker in self._workers:
            worker.wake()

    def metrics(self) -> dict[str, float]:
        """Return the seconds since the bucket last had all that was due, and the number of failed tries in a row."""
        now = time.monotonic()
        return {
            "storage/behind_s": max(now - worker.complete_at for worker in self._workers),
            "storage/failures": float(max(worker.failures for worker in self._workers)),
        }

    def settle(self, timeout_s: float) -> None:
        """Wait until the bucket has all that is in the local folder now.

        Raises:
            OwnershipLost: another attempt has taken over the folder.
            StorageError: it has not after `timeout_s` seconds; the local folder stays.

        """
        deadline, self._hurry = time.monotonic() + timeout_s, True
        for worker in self._workers:
            start = time.monotonic()
            if worker.complete_after(start, min(deadline, start + _SILENT_S)):
                continue
            if worker.is_alive():
                self._tell(f"waiting at most {duration(timeout_s)} until the bucket has all {worker.what}")
            if not worker.complete_after(start, deadline):
                self.require_ownership()
                raise StorageError(
                    f"the bucket does not have all {worker.what} after {timeout_s:g} s: {worker.cause or 'too slow'}",
                    bucket=str(self.place),
                    local=str(self._local),
                    fix="run the same command again on this machine: it sends what is missing",
                )

    def stop(self) -> None:
        """End the threads; a transfer that is under way is given up after a while."""
        self._stop.set()
        self.wake()
        for worker in self._workers:
            worker.join(_STOP_S)

    def release(self) -> None:
        """Give the ownership back, so that the next attempt need not wait; a fault is logged."""
        try:
            self._owner.release()
        except (StorageError, OwnershipLost) as error:
            log.warning("the run folder is not given back: %s", error)

    def _tell(self, text: str) -> None:
        self.note(f"storage: {text}")

    def _send_files(self) -> None:
        """Renew the ownership if it is time, then send the files that are due."""
        with self._files:
            self._renew_if_due()
            self._send_changed(self._is_due)

    def _send_with_checkpoint(self) -> None:
        """Send all files but the logs, then prove the ownership: a checkpoint needs the metrics of its steps."""
        with self._files:
            self._send_changed(lambda name: not _is_log(name))
        self._owner.renew()

    def _send_changed(self, wanted: Callable[[str], bool]) -> None:
        """Send each wanted file that has changed, and delete those that are gone."""
        present = dict(_small_files(self._local, self._owner.attempt))
        for name, (path, stamp) in present.items():
            if self._sent.get(name) == stamp or not wanted(name):
                continue
            self._owner.require()
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            (self.place / name).write(data)
            self._sent[name], self._sent_at[name] = stamp, time.monotonic()
            self._renew_if_due()
        for name in set(self._sent) - set(present):
            (self.place / name).delete()
            del self._sent[name]

    def _is_due(self, name: str) -> bool:
        every_s = _SEND_LOGS_EVERY_S if _is_log(name) else _SEND_EVERY_S
        last = self._sent_at.get(name)
        return self._hurry or last is None or time.monotonic() - last >= every_s

    def _renew_if_due(self) -> None:
        if time.monotonic() - self._renewed >= self._renew_s:
            self._owner.renew()
            self._renewed = time.monotonic()

    def _send_checkpoints(self) -> None:
        """Send checkpoints until none is left, the newest first: where sending is slow, older ones are passed over."""
        while (newest := self._newest_unsent()) and not self._stop.is_set():
            path, key = newest
            try:
                with _held(path) as held:
                    self._send(held)
            except FileNotFoundError:
                continue  # a newer one has taken its place
            except CheckpointError as error:
                self._tell(f"{path.name} is not sent: {error}")
            self._sent_checkpoints.add(key)

    def _newest_unsent(self) -> tuple[Path, str] | None:
        identified = ((path, _identity(path)) for path in reversed(self._stores.paths()))
        return next(((path, key) for path, key in identified if key and key not in self._sent_checkpoints), None)

    def _send(self, checkpoint: Path) -> None:
        folder = self.place / CHECKPOINTS
        if copy_of(checkpoint, folder) is None:  # else an earlier attempt has sent it
            self._owner.require()
            send(checkpoint, folder, self._owner.attempt, self._send_with_checkpoint)
        self._owner.require()
        retain(folder, self._keep, self._owner.attempt)


class _Worker(threading.Thread):
    """A thread that does a round of work again and again, and knows since when all of it is done."""

    def __init__(self, name: str, work: Callable[[], None], stop: threading.Event, tell: Callable[[str], None]) -> None:
        super().__init__(name=f"mirror-{name}", daemon=True)
        self.what, self._work, self._ended, self._tell = name, work, stop, tell
        self._changed = threading.Condition()
        self._woken = threading.Event()
        self.complete_at = time.monotonic()
        """The start of the last round that was done to its end."""
        self.failures = 0
        self.cause = ""

    def run(self) -> None:
        while not self._ended.is_set():
            if not self._round():
                return
            self._woken.wait(_ROUND_S)
            self._woken.clear()

    def wake(self) -> None:
        """Begin the next round now."""
        self._woken.set()

    def complete_after(self, start: float, deadline: float) -> bool:
        """Wait until a round that began after `start` is done; False if that has not happened by the deadline."""
        self.wake()
        with self._changed:
            return (
                self._changed.wait_for(
                    lambda: self.complete_at >= start or not self.is_alive(), deadline - time.monotonic()
                )
                and self.complete_at >= start
            )

    def _round(self) -> bool:
        """Do one round; return False if it must be the last one."""
        start = time.monotonic()
        try:
            self._work()
        except OwnershipLost as error:
            self.cause = error.message
            self._tell(f"{error.message}: nothing more is sent, and this attempt ends at its next checkpoint")
            self._notify()
            return False
        except (StorageError, OSError) as error:
            self._failed(error)
        else:
            if self.failures:
                self._tell(f"the bucket has all {self.what} again, after {duration(start - self.complete_at)}")
            self.failures, self.cause, self.complete_at = 0, "", start
        self._notify()
        return True

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.cause = getattr(error, "message", "") or str(error)
        if self.failures == 1:
            self._tell(f"{self.cause}; the run goes on, its {self.what} are safe on this machine and are sent later")

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _is_log(name: str) -> bool:
    return name.partition("/")[0] == LOGS


def _small_files(folder: Path, attempt: int) -> Iterator[tuple[str, tuple[Path, tuple[int, int]]]]:
    """Yield (name in the bucket, (file, (size, time of change))) of each file that is sent as it is.

    Hidden files stay on this machine. Each attempt keeps its own logs.
    """
    for parent, folders, names in os.walk(folder):  # a folder that vanishes meanwhile is passed over
        inner = Path(parent).relative_to(folder).parts
        folders[:] = [name for name in folders if name[0] != "." and (inner or name not in NOT_SENT)]
        for name in sorted(names):
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if name[0] != "." and stat.S_ISREG(status.st_mode):
                    place = (LOGS, f"attempt_{attempt}", *inner[1:]) if inner[:1] == (LOGS,) else inner
                    yield "/".join((*place, name)), (path, (status.st_size, status.st_mtime_ns))


@contextlib.contextmanager
def _held(path: Path) -> Iterator[Path]:
    """Yield a folder with the files of a checkpoint that stays while the store deletes the checkpoint itself."""
    folder = path.parent / ".sending"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield Path(shutil.copytree(path, folder / path.name, copy_function=os.link))  # links take no room
    except shutil.Error as error:
        raise FileNotFoundError(f"{path} was deleted meanwhile") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity(path: Path) -> str:
    """Return what tells a finished checkpoint from another one of the same step; "" if it is gone."""
    try:
        return f"{path.name} {(path / MANIFEST).stat().st_mtime_ns}"
    except FileNotFoundError:
        return ""
