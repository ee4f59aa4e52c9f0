"""Finds the files of a source of the config: one file, the shards of a folder, or a dataset of the hub."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vlaa_ray.config.base_folder import BUILTIN, is_remote
from vlaa_ray.data.files.streams import kind_of
from vlaa_ray.data.files.tables import hub_name, is_empty_table, is_on_hub, is_saved
from vlaa_ray.data.formats.pictures import PICTURE_SUFFIXES
from vlaa_ray.data.reading_notes import SkippedFile
from vlaa_ray.errors import DataError
from vlaa_ray.storage.local_copies import local_copy
from vlaa_ray.storage.places import BucketPath

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather")
_COMPRESSED = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_IMAGEFOLDER = "metadata.csv"
_NO_RECORDS = ("dataset_infos.json", "dataset_info.json", "state.json", "dataset_dict.json")
_DOCUMENTS = (".md", ".py", ".sh", ".lock", ".gitattributes", ".gitignore")
_SPLIT = re.compile(r"(train|validation|valid|val|dev|test)(?=[-_.]|$)")
_NOT_CHOSEN = "other files of the folder are taken for its records"
_log = logging.getLogger(__name__)


class Found(NamedTuple):
    """The files of a source that hold records, and the files of its folder that are left out."""

    files: list[Path]
    skipped: list[SkippedFile]


def record_files(source: str | Path) -> list[Path]:
    """Return the files of a source, in the order of their names; the source itself if it is not a folder of files.

    Of a source in a bucket, they are in this machine's copy. A folder that was saved by `datasets` is returned itself.
    Any other folder holds JSON, CSV, TSV, parquet or Arrow
    files of one split. The files may also lie in its folder `data`, as in repositories of the hub, or else in any
    folder below it. A metadata.csv counts only where there is no other file: then the folder is an imagefolder.

    Files that are left out are logged. Raises DataError if the folder holds no such file, or files of several splits.
    """
    found = found_files(source)
    for skipped in found.skipped:
        _log.warning("left out: %s", skipped.line())
    return found.files


def found_files(source: str | Path) -> Found:
    """Return the files of a source as `record_files` does, and the files of its folder that it leaves out."""
    path = local_copy(source) if isinstance(source, str) and is_remote(source) else Path(source)
    if str(source).startswith(BUILTIN) or is_on_hub(path) or not path.is_dir() or is_saved(path):
        return Found([path], [])
    candidates: list[Path] = []
    skipped: list[SkippedFile] = []
    for file in _files_below(path):
        if reason := _why_not(file):
            skipped.append(SkippedFile(str(file), reason))
        elif kind_of(file) in _SUFFIXES:
            candidates.append(file)
    files = _nearest(path, candidates)
    chosen = set(files)
    skipped += [SkippedFile(str(file), _NOT_CHOSEN) for file in candidates if file not in chosen]
    splits = {split for file in files if (split := _split_of(file, path))}
    if len(splits) > 1:
        fix = "list the files of one split in the config, one path each"
        raise DataError("the folder holds several splits", file=str(path), got=sorted(splits), fix=fix)
    empty = {file for file in files if file.stat().st_size == 0 or is_empty_table(file)}
    skipped += [SkippedFile(str(file), "it is empty") for file in files if file in empty]
    if len(empty) == len(files):
        raise _without_records(path, skipped)
    return Found([file for file in files if file not in empty], sorted(skipped, key=lambda one: one.path))


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, in the order of their names, without pictures."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("._") or not name.lower().endswith(PICTURE_SUFFIXES):
                yield Path(place, name)


def _why_not(file: Path) -> str:
    """Return why a file of a folder is not read; an empty text if it is, or if nobody would take it for records."""
    if file.name.startswith("._"):
        return "a file of macOS that holds no records"
    if file.name.startswith(".") or file.suffix.lower() in _DOCUMENTS or not file.suffix:
        return ""
    if file.name in _NO_RECORDS or (file.name.startswith("cache-") and file.suffix == ".arrow"):
        return "a file of `datasets` that holds no records"
    kind = kind_of(file)
    if kind not in _SUFFIXES or (file.suffix.lower() in (".gz", ".zst") and kind not in _COMPRESSED):
        return f"no reader for {file.suffix} files"
    return ""


def _nearest(folder: Path, candidates: list[Path]) -> list[Path]:
    """Return the files of the folder itself, or else those of its folder `data`, or else all."""
    for place in (folder, folder / "data"):
        inside = [file for file in candidates if file.parent == place]
        if shards := [file for file in inside if file.name != _IMAGEFOLDER]:
            return shards
    shards = [file for file in candidates if file.name != _IMAGEFOLDER]
    return shards or candidates


def _split_of(file: Path, folder: Path) -> str:
    """Return the split that the name of a file tells, or that of a folder between it and the source's folder."""
    names = (file.name, *file.relative_to(folder).parent.parts)
    return next((match.group(1) for name in names if (match := _SPLIT.match(name))), "")


def _without_records(path: Path, skipped: list[SkippedFile]) -> DataError:
    expected = f"files that end with {', '.join(_SUFFIXES)}, {_IMAGEFOLDER}, or a dataset saved by `datasets`"
    facts: dict[str, Any] = {"left_out": [file.line() for file in skipped[:5]]} if skipped else {}
    return DataError("the folder holds no records", file=str(path), expected=expected, **facts)


def root_of(file: Path, image_root: str | Path | None) -> Path | BucketPath:
    """Return the folder that a file's image paths are relative to: an absolute path, or a folder in a bucket.

    It is `image_root`, if given; else the folder `images` beside the file; else the file's folder. For a dataset of the
    hub it is a local folder, or the cache of `datasets`.
    """
    if isinstance(image_root, str) and is_remote(image_root):
        return BucketPath.parse(image_root)
    if image_root is None and is_on_hub(file):  # a local folder, or the cache into which `datasets` downloads
        from datasets.config import HF_CACHE_HOME

        folder = Path(hub_name(file)[0])
        return (folder if folder.is_dir() else Path(HF_CACHE_HOME)).resolve()
    beside = file.parent / "images"
    return Path(image_root or (beside if beside.is_dir() else file.parent)).resolve()
