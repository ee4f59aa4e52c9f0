"""Where paths lead: to a bucket, or to the current folder, and in a Ray job also to the folder that it was sent from.

`s3://BUCKET/…` and `gs://BUCKET/…` stay as they are; `file:///…` is the path behind it.

A Ray job runs in a copy of the sender's folder. The copy lacks files that were not uploaded, has another name after
every edit, and is deleted later. So results are written to the sender's folder, and files are looked for in both.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from vlaa_ray.errors import ConfigError

BASE_FOLDER = "VLAA_RAY_BASE_DIR"
"""The environment variable with that folder in a Ray job; `vlaa-ray submit` sets it to the folder of the sender."""
_RAYS_COPIES = "working_dir_files"
BUILTIN, HUB = "builtin:", "hub:"
"""The beginnings of the names of what comes with vlaa-ray, and of what is on the Hugging Face hub."""
_RUN = "run:"
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
_SCHEMES = ("s3://", "gs://")
_FILE = "file://"
_FIX = "give an absolute path on storage that all nodes see"


def is_remote(path: str) -> bool:
    """Return True if the path names a bucket or something in it."""
    return path.startswith(_SCHEMES)


def base_folder(run_dir: str) -> Path:
    """Return the folder from which the relative path `run_dir` starts.

    Raises ConfigError in a Ray job that does not name the sender's folder, or if that folder is not on this node.
    """
    if not _runs_in_copy():
        return Path.cwd()
    base = os.environ.get(BASE_FOLDER)
    fix = "set run.dir to an absolute path on storage that all nodes share"
    if not base:
        message = "run.dir is relative, and this Ray job runs in a temporary copy of the folder it was sent from"
        raise ConfigError(message, run_dir=run_dir, fix=f"{fix}, or send the job with vlaa-ray submit")
    if not Path(base).is_dir():
        message = "run.dir is relative to the folder that the job was sent from, which is not on this node"
        raise ConfigError(message, run_dir=run_dir, folder=base, fix=fix)
    return Path(base)


def expand_home(path: str) -> str:
    """Return the path with the home folder in place of a leading `~` or `~user`, and without a leading `file://`.

    Raises ConfigError if there is no such user, if the path is empty or holds a control character, or if it names a
    bucket in a way that can't be used.
    """
    if any(unicodedata.category(character) == "Cc" for character in path):
        raise ConfigError("the path holds a line end or another control character", path=path, fix="rename the file")
    if not path.strip():
        raise ConfigError("the path is empty", fix="name a file or a folder")
    if is_remote(path):
        return _sound_url(path)
    path = path.removeprefix(_FILE)
    expanded = os.path.expanduser(path)
    if path.startswith("~") and expanded == path:
        raise ConfigError(f"no home folder is known for {Path(path).parts[0]!r}", fix="give the whole path")
    return expanded


def find_input(path: str) -> str:
    """Return the path at which the file or folder `path` is read.

    It is `path` itself, or, in a Ray job whose copy has no such file, the same path below the folder that the job was
    sent from.
    An absolute path, a path in a bucket, and any path outside a job, is returned as it is, whether anything is there or
    not. A leading `~` is the home folder.

    Raises ConfigError if the path is empty, and in a job if neither folder has the relative path.
    """
    found = _found(path)
    if found is None:
        raise _not_found(path)
    return found


def find_data(source: str) -> str:
    """Return the path of a data source as `find_input` does; built-in data and data sets of the hub keep their name.

    `hub:FOLDER@SPLIT` may name a folder, which is looked for too.
    """
    if not source.startswith(HUB):
        return find_input(source)
    name, at, split = source.removeprefix(HUB).partition("@")
    return f"{HUB}{find_checkpoint(name)}{at}{split}"


def find_checkpoint(path: str) -> str:
    """Return the path of a model's folder as `find_input` does; a name that the hub may have is returned as it is."""
    found = _found(path)
    if found is None and not _HUB_NAME.fullmatch(path):
        raise _not_found(path)
    return found or path


def in_config(find: Callable[[str], str]) -> Callable[[str], str]:
    """Return `find` as a validator of config keys: its error becomes one of the problems that are reported together."""

    def validate(path: str) -> str:
        try:
            return find(path)
        except ConfigError as error:
            raise ValueError(f"{error.message}; {error.fix}") from error

    return validate


OutputPath = Annotated[str, AfterValidator(in_config(expand_home))]
InputPath = Annotated[str, AfterValidator(in_config(find_input))]
DataPath = Annotated[str, AfterValidator(in_config(find_data))]
CheckpointPath = Annotated[str, AfterValidator(in_config(find_checkpoint))]


def _sound_url(url: str) -> str:
    """Return the address of something in a bucket without slashes at its end.

    Raises ConfigError if it names no bucket, or holds a user name or a key, which would get into logs and files.
    """
    bucket, _, key = url.partition("?")[0].split("://", 1)[1].partition("/")
    if "@" in bucket:
        fix = "leave it out; the usual places are searched for credentials: environment, files, role of the machine"
        raise ConfigError("an address of a bucket must hold no key and no user name", fix=fix)
    if not bucket:
        raise ConfigError("the address names no bucket", got=url, fix="give s3://BUCKET/FOLDER or gs://BUCKET/FOLDER")
    if ".." in key.split("/"):
        raise ConfigError("the address holds '..'", got=url, fix="give the address without it")
    return url if "?" in url else url.rstrip("/")


def _runs_in_copy() -> bool:
    return _RAYS_COPIES in Path.cwd().parts


def _found(path: str) -> str | None:
    """Return `path`, or where it lies below the sender's folder; None in a job if it lies nowhere."""
    path = expand_home(path)
    if (
        path.startswith((BUILTIN, _RUN, *_SCHEMES))
        or os.path.isabs(path)
        or not _runs_in_copy()
        or os.path.exists(path)
    ):
        return path
    base = os.environ.get(BASE_FOLDER)
    there = os.path.join(base, path) if base else ""
    return there if os.path.exists(there) else None


def _not_found(path: str) -> ConfigError:
    base = os.environ.get(BASE_FOLDER)
    message = f"{path} is not in {Path.cwd()}, the copy of a folder in which this Ray job runs"
    if not base:
        return ConfigError(message, fix=f"{_FIX}, or send the job with vlaa-ray submit, which looks in both folders")
    where = f"{base}, the folder that the job was sent from"
    if not os.path.isdir(base):
        return ConfigError(f"{message}; {where}, is not on this node", fix=_FIX)
    return ConfigError(f"{message}, nor in {where}", fix=_FIX)
