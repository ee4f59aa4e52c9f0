"""Finds the files of a source of the config: one file, the shards of a folder, or a dataset of the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from vlaa_ray.data.builtin import BUILTIN
from vlaa_ray.data.files.tables import hub_name, is_on_hub, is_saved
from vlaa_ray.data.reading_notes import SkippedFile
from vlaa_ray.errors import DataError

_SUFFIXES = (".json", ".jsonl", ".parquet")
_IMAGEFOLDER = "metadata.csv"
_NO_RECORDS = ("dataset_infos.json", "dataset_info.json")
_SPLIT = re.compile(r"(train|validation|valid|val|dev|test)(?=[-_.])")


class Found(NamedTuple):
    """The files of a source that hold records, and the files of its folder that are left out."""

    files: list[Path]
    skipped: list[SkippedFile]


def found_files(source: str | Path) -> Found:
    """Return the files of a source as `record_files` does, and the files of its folder that it leaves out."""
    return Found(record_files(source), [])


def record_files(source: str | Path) -> list[Path]:
    """Return the files of a source, in the order of their names; the source itself if it is not a folder of files.

    A folder that was saved by `datasets` is returned itself. Any other folder holds .json, .jsonl and .parquet files of
    one split, or the metadata.csv of an imagefolder. The files may also lie in its folder `data`, as in repositories of
    the hub.

    Raises DataError if the folder holds no such file, or files of several splits.
    """
    path = Path(source)
    if str(source).startswith(BUILTIN) or is_on_hub(path) or not path.is_dir() or is_saved(path):
        return [path]
    files = (
        _shards(path)
        or _shards(path / "data")
        or [file for file in (path / _IMAGEFOLDER, path / "data" / _IMAGEFOLDER) if file.is_file()]
    )
    if not files:
        expected = f"files that end with {', '.join(_SUFFIXES)}, {_IMAGEFOLDER}, or a dataset saved by `datasets`"
        raise DataError("the folder holds no records", file=str(path), expected=expected)
    splits = {match.group(1) for file in files if (match := _SPLIT.match(file.name))}
    if len(splits) > 1:
        fix = "list the files of one split in the config, one path each"
        raise DataError("the folder holds several splits", file=str(path), got=sorted(splits), fix=fix)
    return files


def _shards(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES and file.name not in _NO_RECORDS)


def root_of(file: Path, image_root: str | Path | None) -> Path:
    """Return the folder that a file's image paths are relative to, as an absolute path.

    It is `image_root`, if given; else the folder `images` beside the file; else the file's folder. For a dataset of the
    hub it is a local folder, or the cache of `datasets`.
    """
    if image_root is None and is_on_hub(file):  # a local folder, or the cache into which `datasets` downloads
        from datasets.config import HF_CACHE_HOME

        folder = Path(hub_name(file)[0])
        return (folder if folder.is_dir() else Path(HF_CACHE_HOME)).resolve()
    beside = file.parent / "images"
    return Path(image_root or (beside if beside.is_dir() else file.parent)).resolve()
