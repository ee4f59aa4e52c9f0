"""Folders and objects in buckets: `s3://BUCKET/KEY` and `gs://BUCKET/KEY`, through pyarrow's file systems.

    place = BucketPath.parse("s3://bucket/runs") / "quickstart"
    place.write(b"…"); place.read(); place.upload(file); place.download(file); place.files(); place.delete_folder()

An object is visible only after all its bytes have arrived. Credentials come from where the cloud's own tools take them:
the environment, files, or the role of the machine. For a server of another vendor, set AWS_ENDPOINT_URL (or
STORAGE_EMULATOR_HOST for gs), or write `?endpoint_override=HOST:PORT&scheme=http` behind the address.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import ConfigError, StorageError

_CHUNK_BYTES = 8 << 20
_CONNECT_S = 5.0
_GCS_RETRY_S = 15
_OPTIONS = ("endpoint_override", "scheme", "region")


@dataclass(frozen=True)
class ObjectEntry:
    """An object below a place: its size, and the time of its last change in nanoseconds."""

    size_bytes: int
    changed_ns: int


@dataclass(frozen=True)
class BucketPath:
    """A folder or an object in a bucket. Every method raises StorageError if the bucket can't be used."""

    scheme: str
    bucket: str
    key: str
    query: str = ""

    @classmethod
    def parse(cls, url: str) -> BucketPath:
        """Return the place that an address names.

        Raises:
            ConfigError: it is no address of a bucket, or has an option that is not known.

        """
        if not is_remote(url):
            raise ConfigError("not an address of a bucket", got=url, fix="give s3://BUCKET/… or gs://BUCKET/…")
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(set(options) - set(_OPTIONS)):
            fix = f"known options: {', '.join(_OPTIONS)}; keys and secrets never belong into an address"
            raise ConfigError(f"the address of a bucket has an unknown option {unknown[0]!r}", fix=fix)
        return cls(parts.scheme, parts.netloc, parts.path.strip("/"), parts.query)

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(self.scheme, self.bucket, f"{self.key}/{name}".strip("/"), self.query)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}" + (f"?{self.query}" if self.query else "")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> BucketPath:
        """The folder that holds this place."""
        return BucketPath(self.scheme, self.bucket, self.key.rpartition("/")[0], self.query)

    @property
    def options(self) -> dict[str, str]:
        """The options behind the address, and those of the environment where it has none."""
        return _with_environment(self.scheme, dict(parse_qsl(self.query)))

    def read(self) -> bytes | None:
        """Return the bytes of the object; None if there is no such object."""
        with self._faults("read"):
            try:
                with self._system.open_input_stream(self._path) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, data: bytes) -> None:
        """Put the bytes as the object, in place of an older one."""
        with self._faults("write"), self._system.open_output_stream(self._path) as stream:
            stream.write(data)

    def upload(self, file: Path, progress: Callable[[int], None] = lambda count: None) -> tuple[str, int]:
        """Put the content of a file as the object, and return (sha256, size) of what was sent.

        `progress` gets the number of bytes of each part. If the file can't be read to its end, the object may hold a
        part of it: who needs more certainty compares the digest.

        Raises:
            FileNotFoundError: the file is gone.

        """
        digest, size = hashlib.sha256(), 0
        with file.open("rb") as source, self._faults("write"):
            with self._system.open_output_stream(self._path) as stream:
                while chunk := source.read(_CHUNK_BYTES):
                    stream.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    progress(len(chunk))
        return digest.hexdigest(), size

    def download(self, file: Path) -> None:
        """Write the object's bytes to a new file, whose folder is made if need be.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: the file can't be written.

        """
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as target, self._faults("read"), self._system.open_input_stream(self._path) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                try:
                    target.write(chunk)
                except OSError as error:
                    raise _OfDisk(error) from error

    def files(self) -> dict[str, ObjectEntry]:
        """Return every object below this folder, by its name relative to the folder; {} for an empty folder."""
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(self._path, recursive=True, allow_not_found=True)
        with self._faults("list"):
            found = self._system.get_file_info(selector)
        start = len(self._path) + 1
        return {
            info.path[start:]: ObjectEntry(info.size, info.mtime_ns or 0)
            for info in found
            if info.type == FileType.File
        }

    def entry(self) -> ObjectEntry | None:
        """Return size and time of the object; None if there is no object of this name."""
        from pyarrow.fs import FileType

        with self._faults("read"):
            info = self._system.get_file_info(self._path)
        return ObjectEntry(info.size, info.mtime_ns or 0) if info.type == FileType.File else None

    def exists(self) -> bool:
        """Return True if there is an object of this name, or one below it."""
        return bool(self.files()) or self.entry() is not None

    def require_writable(self) -> None:
        """Write an object below this folder, and delete it again."""
        probe = self / f".probe-{secrets.token_hex(8)}"
        probe.write(b"")
        probe.delete()

    def delete(self) -> None:
        """Delete the object, if it is there."""
        with self._faults("delete"):
            try:
                self._system.delete_file(self._path)
            except FileNotFoundError:
                return

    def delete_folder(self) -> None:
        """Delete every object below this folder."""
        with self._faults("delete"):
            try:
                self._system.delete_dir(self._path)
            except FileNotFoundError:
                return

    @property
    def _path(self) -> str:
        return f"{self.bucket}/{self.key}"

    @property
    def _system(self) -> Any:
        return _file_system(self.scheme, self.bucket, tuple(sorted(self.options.items())))

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        """Turn the errors of pyarrow into a StorageError; a missing object stays a FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except _OfDisk as error:
            raise error.cause from error
        except OSError as error:
            raise StorageError(f"can't {doing} {self}: {_first_line(error)}", fix=_fix(error)) from error


class _OfDisk(Exception):
    """An error of the local disk in the middle of a download."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@lru_cache(maxsize=32)
def _file_system(scheme: str, bucket: str, options: tuple[tuple[str, str], ...]) -> Any:
    from pyarrow import fs

    given = dict(options)
    if scheme == "gs":
        return fs.GcsFileSystem(
            anonymous="endpoint_override" in given,  # an emulator knows no accounts
            retry_time_limit=timedelta(seconds=_GCS_RETRY_S),
            **{key: value for key, value in given.items() if key != "region"},
        )
    if "region" not in given and "endpoint_override" not in given:
        given["region"] = fs.resolve_s3_region(bucket)
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=3)
    return fs.S3FileSystem(connect_timeout=_CONNECT_S, retry_strategy=retries, **given)


def _with_environment(scheme: str, options: dict[str, str]) -> dict[str, str]:
    """Return the options with those of the environment that are not given."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if scheme == "s3" else ("STORAGE_EMULATOR_HOST",)
    address = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if address and "endpoint_override" not in options:
        kind, _, host = address.rpartition("://")
        options |= {"endpoint_override": host.rstrip("/"), "scheme": kind or "http"}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if scheme == "s3" and region:
        options.setdefault("region", region)
    return options


def _first_line(error: OSError) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:400]


def _fix(error: OSError) -> str:
    text = str(error).lower()
    if isinstance(error, PermissionError) or any(word in text for word in ("access denied", "access_denied", "403")):
        return "give the credentials of this process the right to read, write, list and delete there"
    return "check the name of the bucket, the credentials, and the network to it"
