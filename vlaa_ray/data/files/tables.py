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
_READ_ROWS, _CONVERTED_ROWS = 16, 64  # at once, with their images
_BUFFER_BYTES = 1 << 20
_NO_GOLDS = ("meta", "extra_info")  # columns from which nothing is judged by its type


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
        for batch in self._stored.iter(_READ_ROWS):
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
    """The table; DataError names it.

    A parquet file is written once more, uncompressed, to the cache of `datasets` (below HF_HOME), and read from there
    as long as it doesn't change.
    """
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
    mixed = [name for name, feature in dataset.features.items() if "Json(" in str(feature) and name not in _NO_GOLDS]
    if mixed:
        fix = "download the JSON files and name their folder: hf download NAME --repo-type dataset --local-dir FOLDER"
        raise DataError("datasets has lost the types of these columns", **facts, columns=mixed, fix=fix)
    return Table(dataset)


def _loaded(file: Path) -> Any:
    from datasets import load_dataset, load_from_disk

    if is_on_hub(file):
        name, split = hub_name(file)
        return load_dataset(name, split=split)
    return load_from_disk(str(file)) if file.is_dir() else _converted(file)


def _converted(file: Path) -> Any:
    """A parquet file's dataset: decoded in small steps, and by an allocator that gives back what they took."""
    import pyarrow
    from datasets import Dataset
    from pyarrow.dataset import ParquetFragmentScanOptions

    scan = ParquetFragmentScanOptions(use_buffered_stream=True, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    usual = pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        return Dataset.from_parquet(str(file), batch_size=_CONVERTED_ROWS, fragment_scan_options=scan)
    finally:
        pyarrow.set_memory_pool(usual)


def hub_name(file: Path) -> tuple[str, str]:
    """(name, split) of hub:NAME@SPLIT; the split is `train` where none is named."""
    name, _, split = str(file).removeprefix(HUB).partition("@")
    return name, split or "train"
