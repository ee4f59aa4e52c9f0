"""Conditional puts: an object is written only if nobody has written it since it was read.

    found = read_version(place)                       # (bytes, version), or None without the object
    version = put_if(place, b"…", found and found.version)   # None: somebody else was faster

S3 compares the ETag (If-Match, If-None-Match), Google Cloud Storage the generation. pyarrow offers neither, so these
few calls go through botocore and through Google's JSON interface.
"""

from __future__ import annotations

import importlib
import json
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx

from vlaa_ray.errors import ConfigError, StorageError
from vlaa_ray.storage.places import BucketPath

_TIMEOUT_S = 15.0
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_LOST_RACE = (409, 412)


@dataclass(frozen=True)
class Versioned:
    """The bytes of an object, and the name of this version of it."""

    data: bytes
    version: str


def read_version(place: BucketPath) -> Versioned | None:
    """Return the object with its version; None if there is no such object.

    Raises:
        StorageError: the bucket can't be used.
        ConfigError: the package for this kind of bucket is not installed.

    """
    return _s3_read(place) if place.scheme == "s3" else _gcs_read(place)


def put_if(place: BucketPath, data: bytes, version: str | None) -> str | None:
    """Write the object if it still has this version (None: if it is not there), and return its new version.

    Return None if the object has another version.

    Raises:
        StorageError: the bucket can't be used; the object may have been written all the same.
        ConfigError: the package for this kind of bucket is not installed.

    """
    return _s3_put(place, data, version) if place.scheme == "s3" else _gcs_put(place, data, version)


def require_packages(place: BucketPath) -> None:
    """Raise ConfigError if the package is missing that conditional puts into this bucket need."""
    module = "botocore" if place.scheme == "s3" else "google.auth"
    try:
        importlib.import_module(module)
    except ImportError as error:
        fix = "pip install 'vlaa-ray[cloud]', or pip install -e '.[cloud]' in a checkout"
        raise ConfigError(f"a run folder in {place.scheme}:// needs the package {module}", fix=fix) from error


def _s3_read(place: BucketPath) -> Versioned | None:
    answer = _s3_call(place, "get_object")
    if answer is None:
        return None
    with answer["Body"] as body:
        return Versioned(body.read(), str(answer["ETag"]))


def _s3_put(place: BucketPath, data: bytes, version: str | None) -> str | None:
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    answer = _s3_call(place, "put_object", Body=data, **condition)
    return None if answer is None else str(answer["ETag"])


def _s3_call(place: BucketPath, name: str, **arguments: Any) -> dict[str, Any] | None:
    """Return the answer of S3; None if there is no such object, or if the condition does not hold."""
    require_packages(place)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = _s3_client(tuple(sorted(place.options.items())))
        answer: dict[str, Any] = getattr(client, name)(Bucket=place.bucket, Key=place.key, **arguments)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        if code == "NoSuchKey" or status in _LOST_RACE or (status == 404 and code != "NoSuchBucket"):
            return None
        raise _refused(place, f"{code or status}") from error
    except BotoCoreError as error:
        raise _refused(place, str(error)) from error
    return answer


@lru_cache(maxsize=8)
def _s3_client(options: tuple[tuple[str, str], ...]) -> Any:
    import botocore.session
    from botocore.config import Config

    given = dict(options)
    endpoint = given.get("endpoint_override")
    return botocore.session.get_session().create_client(
        "s3",
        region_name=given.get("region") or ("us-east-1" if endpoint else None),
        endpoint_url=f"{given.get('scheme', 'https')}://{endpoint}" if endpoint else None,
        config=Config(
            connect_timeout=_TIMEOUT_S / 3,
            read_timeout=_TIMEOUT_S,
            retries={"total_max_attempts": 1},  # a second put after a lost answer would find its own first one
            s3={"addressing_style": "path"} if endpoint else None,
        ),
    )


def _gcs_read(place: BucketPath) -> Versioned | None:
    answer = _gcs_call(place, "GET", f"/storage/v1/b/{place.bucket}/o/{quote(place.key, safe='')}?alt=media")
    return None if answer is None else Versioned(answer.content, answer.headers["x-goog-generation"])


def _gcs_put(place: BucketPath, data: bytes, version: str | None) -> str | None:
    path = f"/upload/storage/v1/b/{place.bucket}/o?uploadType=multipart&ifGenerationMatch={version or 0}"
    boundary = secrets.token_hex(16).encode()
    head = b"Content-Type: application/json\r\n\r\n" + json.dumps({"name": place.key}).encode()
    body = b"Content-Type: application/octet-stream\r\n\r\n" + data
    content = b"\r\n".join([b"--" + boundary, head, b"--" + boundary, body, b"--" + boundary + b"--", b""])
    kind = f"multipart/related; boundary={boundary.decode()}"
    answer = _gcs_call(place, "POST", path, content=content, headers={"Content-Type": kind})
    return None if answer is None else str(answer.json()["generation"])


def _gcs_call(
    place: BucketPath, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None
) -> httpx.Response | None:
    """Return the answer of Google Cloud Storage; None as for `_s3_call`."""
    options = place.options
    emulator = options.get("endpoint_override")
    base = f"{options.get('scheme', 'https')}://{emulator}" if emulator else "https://storage.googleapis.com"
    allowed = {} if emulator else {"Authorization": f"Bearer {_google_token(place)}"}
    try:
        answer = httpx.request(
            method, base + path, headers=(headers or {}) | allowed, content=content, timeout=_TIMEOUT_S
        )
    except httpx.HTTPError as error:
        raise _refused(place, str(error) or type(error).__name__) from error
    if answer.status_code in _LOST_RACE or (answer.status_code == 404 and method == "GET"):
        return None
    if answer.is_error:
        raise _refused(place, f"status {answer.status_code}")
    return answer


def _google_token(place: BucketPath) -> str:
    require_packages(place)
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials = _google_credentials()
        if not credentials.valid:
            credentials.refresh(Request())
    except GoogleAuthError as error:
        raise _refused(place, str(error)) from error
    return str(credentials.token)


@lru_cache(maxsize=1)
def _google_credentials() -> Any:
    import google.auth

    return google.auth.default(scopes=[_SCOPE])[0]


def _refused(place: BucketPath, cause: str) -> StorageError:
    fix = "check the name of the bucket, the credentials, and the network to it"
    return StorageError(f"can't use {place}: {cause[:400]}", fix=fix)
