"""Parquet files, saved datasets and those of the Hugging Face hub: tables on disk whose rows are made when asked for.

table = open_table(Path("train.parquet"))
table[3]  -> {"problem": …, "images": [{"bytes": …, "path": None}], "answer": "4.5"}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.errors import DataError

HUB = "hub:"
_BATCH = 16  # rows with their images


class Table(Sequence[dict[str, Any]]):
    """Rows of a memory-mapped dataset as they are stored: images stay encoded, golds keep their type."""

    def __init__(self, dataset: Any) -> None:
        self._stored = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        (row,) = self._stored[index].to_pylist()
        return dict(row)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._stored.iter(_BATCH):
            yield from batch.to_pylist()


def is_table(file: Path) -> bool:
    """Whether `open_table` is what reads it: it is on the hub, a folder or a parquet file."""
    return is_on_hub(file) or file.suffix == ".parquet" or file.is_dir()


def is_on_hub(file: Path) -> bool:
    return str(file).startswith(HUB)


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved it."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def open_table(file: Path) -> Table:
    """The table; DataError names it. A parquet file is written once more, to the cache of `datasets`, uncompressed."""
    import datasets
    import pyarrow
    from datasets.exceptions import DatasetsError

    datasets.disable_progress_bars()
    facts = {"file": str(file)}
    try:
        dataset = _loaded(file)
    except ConnectionError as error:
        fix = "look at the network and at the name, or download the files elsewhere and name their folder"
        raise DataError(f"can't reach the hub: {error}", **facts, fix=fix) from error
    except (OSError, ValueError, pyarrow.ArrowException, DatasetsError) as error:
        cause = f"{error} {error.__cause__ or ''}".strip()
        raise DataError(f"can't read the data: {cause}", **facts) from error
    if not isinstance(dataset, datasets.Dataset):
        splits = ", ".join(str(file / name) for name in dataset)
        raise DataError("the folder holds several splits", **facts, fix=f"name one of {splits}")
    if mixed := [name for name, feature in dataset.features.items() if "Json(" in str(feature)]:
        fix = "download the JSON files and name their folder: hf download NAME --repo-type dataset --local-dir FOLDER"
        raise DataError("datasets has lost the types of these columns", **facts, columns=mixed, fix=fix)
    return Table(dataset)


def _loaded(file: Path) -> Any:
    from datasets import Dataset, load_dataset, load_from_disk

    if is_on_hub(file):
        name, split = hub_name(file)
        return load_dataset(name, split=split)
    return load_from_disk(str(file)) if file.is_dir() else Dataset.from_parquet(str(file))


def hub_name(file: Path) -> tuple[str, str]:
    """(name, split) of hub:NAME@SPLIT; the split is `train` where none is named."""
    name, _, split = str(file).removeprefix(HUB).partition("@")
    return name, split or "train"
