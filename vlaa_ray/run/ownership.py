"""The one owner of a run folder in a bucket: of two attempts of a job that overlap, only the newer one may write.

    owner = Ownership.claim(place / "owner.json", copy="3f2a…", lease_s=60, note=print)
    owner.renew()     # every few seconds; OwnershipLost if another attempt has taken over
    owner.release()

`owner.json` holds the number of the attempt, its host, and the local copy of the folder that it works in. It is changed
by conditional puts only. An owner that does not renew it for `lease_s` seconds, by the clock of the one who waits, has
lost it to the next attempt. The clocks of two machines are never compared.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from vlaa_ray.errors import ConfigError, OwnershipLost, StorageError
from vlaa_ray.storage.conditional import Versioned, put_if, read_version
from vlaa_ray.storage.mapping_file import as_mapping
from vlaa_ray.storage.places import BucketPath

OWNER = "owner.json"
_POLLS = 20  # in a lease


class Ownership:
    """The right to write into a run folder in a bucket; may be used from several threads."""

    def __init__(self, place: BucketPath, version: str, attempt: int, copy: str, previous_copy: str) -> None:
        self._place, self._version, self._copy = place, version, copy
        self._holder = ""
        self._lock = threading.Lock()
        self._lost = False
        self.attempt = attempt
        """The number of this attempt, counted over all owners of the folder."""
        self.previous_copy = previous_copy
        """The local copy that the attempt before worked in; "" for the first one."""

    @classmethod
    def claim(cls, place: BucketPath, copy: str, lease_s: float, note: Callable[[str], None]) -> Ownership:
        """Become the owner, and return the ownership. `copy` is the id of the local copy that this process has locked.

        If another attempt did not end in order, wait `lease_s` seconds for a sign of life from it; an attempt that
        worked in the same local copy is known to be gone. `note` gets a line about the wait.

        Raises:
            ConfigError: another process is the owner, and alive.
            StorageError: the bucket can't be used.

        """
        found = read_version(place)
        before = _content(found)
        if found and not before.get("released") and before.get("copy") != copy:
            found = _after_lease(place, found, before, lease_s, note)
        attempt = int(before.get("attempt") or 0) + 1
        owner = cls(place, "", attempt, copy, str(before.get("copy") or ""))
        owner._holder = secrets.token_hex(8)
        version = put_if(place, owner._bytes(released=False), found.version if found else None)
        if version is None:
            raise _in_use(place, _content(read_version(place)))
        owner._version = version
        return owner

    def renew(self) -> None:
        """Say that this attempt is alive.

        Raises:
            OwnershipLost: another attempt has taken over.
            StorageError: the bucket can't be used now.

        """
        self._put(released=False)

    def require(self) -> None:
        """Raise OwnershipLost if `renew` has found that another attempt has taken over."""
        if self._lost:
            fix = "let the newer attempt go on; nothing of this one's later steps is kept"
            raise OwnershipLost("another attempt of this run has taken over its folder", folder=self._folder, fix=fix)

    def release(self) -> None:
        """Say that this attempt has ended, so that the next one need not wait; errors as for `renew`."""
        self._put(released=True)

    @property
    def _folder(self) -> str:
        return str(self._place.parent)

    def _put(self, *, released: bool) -> None:
        with self._lock:
            self.require()
            data = self._bytes(released=released)
            version = put_if(self._place, data, self._version)
            if version is None:
                version = self._own_version()  # a put whose answer was lost counts, too
                version = version and put_if(self._place, data, version)
            self._lost = version is None
            self._version = version or self._version
        self.require()

    def _own_version(self) -> str | None:
        """Return the version in the bucket if this attempt wrote it, else None."""
        found = read_version(self._place)
        return found.version if found and _content(found).get("holder") == self._holder else None

    def _bytes(self, *, released: bool) -> bytes:
        content = {
            "attempt": self.attempt,
            "holder": self._holder,
            "copy": self._copy,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "renewed": datetime.now(UTC).isoformat(),
            "released": released,
        }
        return json.dumps(content, indent=1).encode()


def _after_lease(
    place: BucketPath, found: Versioned, owner: dict[str, Any], lease_s: float, note: Callable[[str], None]
) -> Versioned | None:
    """Return the owner object once it has not changed for a lease, or at once if it is released meanwhile."""
    who = f"attempt {owner.get('attempt')} on {owner.get('host')}"
    note(f"{place.parent} belongs to {who}, which did not end in order: waiting {lease_s:g} s for a sign of life")
    end = time.monotonic() + lease_s
    while time.monotonic() < end:
        time.sleep(min(2.0, lease_s / _POLLS))
        try:
            now = read_version(place)
        except StorageError as error:  # an outage is no proof that the owner is gone
            note(f"no answer while waiting: {error.message}")
            end = time.monotonic() + lease_s
            continue
        if now is None or _content(now).get("released"):
            return now
        if now.version != found.version:
            raise _in_use(place, _content(now))
    return found


def _in_use(place: BucketPath, owner: dict[str, Any]) -> ConfigError:
    fix = "wait for it, stop it, or choose another run.name"
    facts = {"folder": str(place.parent), **{key: owner.get(key) for key in ("attempt", "host", "pid")}}
    return ConfigError("another process uses this run folder", fix=fix, **facts)


def read_owner(place: BucketPath) -> dict[str, Any]:
    """Return what is known of the owner of the run folder `place`: attempt, host, last sign of life; {} for no owner.

    Raises:
        StorageError: the bucket can't be used.

    """
    return _parsed((place / OWNER).read())


def _content(found: Versioned | None) -> dict[str, Any]:
    return _parsed(found.data if found else None)


def _parsed(data: bytes | None) -> dict[str, Any]:
    """Return the content of an owner object; {} without one, or if it can't be read."""
    try:
        return as_mapping(json.loads(data)) if data else {}
    except ValueError:
        return {}
