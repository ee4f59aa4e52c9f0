"""What a source of the config consists of: one file, the shards of a folder, or a dataset of the hub."""

from __future__ import annotations

import re
from pathlib import Path

from vlaa_ray.data.builtin import BUILTIN
from vlaa_ray.data.files.tables import hub_name, is_on_hub, is_saved
from vlaa_ray.errors import DataError

_SUFFIXES = (".json", ".jsonl", ".parquet")
_IMAGEFOLDER = "metadata.csv"
_NO_RECORDS = ("dataset_infos.json", "dataset_info.json")
_SPLIT = re.compile(r"(train|validation|valid|val|dev|test)(?=[-_.])")


def record_files(source: str | Path) -> list[Path]:
    """The files that hold a source's records, in the order of their names; itself where it is one.

    A folder is one that `datasets` saved, or holds .json, .jsonl and .parquet files of one split, or else the
    metadata.csv of an imagefolder, be it in `data/` as repositories of the hub do. DataError if it holds none, or
    several splits.
    """
    path = Path(source)
    if str(source).startswith(BUILTIN) or is_on_hub(path) or not path.is_dir() or is_saved(path):
        return [path]
    found = (
        _shards(path)
        or _shards(path / "data")
        or [one for one in (path / _IMAGEFOLDER, path / "data" / _IMAGEFOLDER) if one.is_file()]
    )
    if not found:
        expected = f"files that end with {', '.join(_SUFFIXES)}, {_IMAGEFOLDER}, or what datasets saved"
        raise DataError("the folder holds no records", file=str(path), expected=expected)
    splits = {match.group(1) for file in found if (match := _SPLIT.match(file.name))}
    if len(splits) > 1:
        fix = "name the files of one split, each as a path of the list"
        raise DataError("the folder holds several splits", file=str(path), got=sorted(splits), fix=fix)
    return found


def _shards(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES and file.name not in _NO_RECORDS)


def root_of(file: Path, image_root: str | Path | None) -> Path:
    """The folder that a file's image paths are relative to."""
    if image_root is None and is_on_hub(file):  # the folder itself, or where datasets puts what it has fetched
        from datasets.config import HF_CACHE_HOME

        folder = Path(hub_name(file)[0])
        return (folder if folder.is_dir() else Path(HF_CACHE_HOME)).resolve()
    beside = file.parent / "images"
    return Path(image_root or (beside if beside.is_dir() else file.parent)).resolve()
