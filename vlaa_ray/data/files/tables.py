"""Opens parquet and Arrow files, saved datasets and datasets of the Hugging Face hub as tables on disk.

A row is made when it is asked for.

    table = open_table(Path("train.parquet"))
    table[3]  -> {"problem": …, "images": [{"bytes": …, "path": None}], "answer": "4.5"}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from vlaa_ray.config.base_folder import HUB
from vlaa_ray.data.files.column_types import conversions
from vlaa_ray.data.files.streams import explained
from vlaa_ray.errors import DataError

_READ_ROWS, _CONVERTED_ROWS = 16, 64  # at once, with their images
_BUFFER_BYTES = 1 << 20
_PARQUET = ".parquet"
_ARROW = (".arrow", ".feather")
_IPC_FILE = b"ARROW1"
_NO_GOLDS = ("meta", "extra_info")  # columns without golds: the types of their values don't matter


class Table(Sequence[dict[str, Any]]):
    """The rows of a memory-mapped dataset as they are stored: images stay encoded, golds keep their type."""

    def __init__(self, dataset: Any) -> None:
        self._stored = dataset.with_format("arrow")
        self._as_written = conversions(dataset)

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        (row,) = self._stored[index].to_pylist()
        return self._row(row)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._stored.iter(_READ_ROWS) if len(self) else ():
            yield from map(self._row, batch.to_pylist())

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        for name, convert in self._as_written.items():
            row[name] = convert(row[name])
        return row


def is_table(file: Path) -> bool:
    """Return whether `open_table` reads this path: a dataset of the hub, a folder, a parquet or an Arrow file."""
    return is_on_hub(file) or file.suffix.lower() in (_PARQUET, *_ARROW) or file.is_dir()


def is_empty_table(file: Path) -> bool:
    """Return whether this is a parquet file without rows; False, too, for any other or damaged file."""
    if file.suffix.lower() != _PARQUET:
        return False
    import pyarrow
    from pyarrow import parquet

    try:
        return bool(parquet.read_metadata(file).num_rows == 0)
    except (OSError, pyarrow.ArrowException):
        return False  # opening it will say what is wrong


def is_on_hub(file: Path) -> bool:
    """Return whether this path names a dataset of the hub: `hub:NAME` or `hub:NAME@SPLIT`."""
    return str(file).startswith(HUB)


def is_saved(folder: Path) -> bool:
    """Return whether the folder was written by `save_to_disk` of `datasets`."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def open_table(file: Path) -> Table:
    """Return the table of a parquet or Arrow file, a saved dataset or a dataset of the hub.

    A parquet file is first copied, uncompressed, to the cache of `datasets` (below HF_HOME), and read from there as
    long as it doesn't change.

    Raises DataError if the table can't be read, if the hub can't be reached, if a folder holds several splits, or if
    `datasets` has changed the types of a column.
    """
    import datasets
    import pyarrow
    from datasets.exceptions import DatasetsError

    datasets.disable_progress_bars()
    facts = {"file": str(file)}
    try:
        with explained(file) if file.is_file() else nullcontext():
            dataset = _loaded(file)
    except ConnectionError as error:
        fix = "check the network and the name, or download the files on another machine and give their folder"
        raise DataError(f"can't reach the hub: {error}", **facts, fix=fix) from error
    except (OSError, ValueError, NotImplementedError, pyarrow.ArrowException, DatasetsError) as error:
        cause = f"{error} {error.__cause__ or ''}".strip()
        raise DataError(f"can't read the data: {cause}", **facts) from error
    if not isinstance(dataset, datasets.Dataset):
        splits = ", ".join(str(file / name) for name in dataset)
        raise DataError("the folder holds several splits", **facts, fix=f"name one of {splits}")
    mixed = [name for name, feature in dataset.features.items() if "Json(" in str(feature) and name not in _NO_GOLDS]
    if mixed:
        fix = "download the JSON files and give their folder: hf download NAME --repo-type dataset --local-dir FOLDER"
        raise DataError(
            "the package `datasets` has changed the types of these columns", **facts, columns=mixed, fix=fix
        )
    return Table(dataset)


def _loaded(file: Path) -> Any:
    from datasets import load_dataset, load_from_disk

    if is_on_hub(file):
        name, split = hub_name(file)
        return load_dataset(name, split=split)
    if file.is_dir():
        return load_from_disk(str(file))
    return _arrow(file) if file.suffix.lower() in _ARROW else _converted(file)


def _arrow(file: Path) -> Any:
    """Return the dataset of an Arrow file: a stream as `datasets` writes it, or a file of the IPC format (Feather)."""
    import pyarrow
    from datasets import Dataset
    from datasets.table import InMemoryTable

    with file.open("rb") as stream:
        is_stream = stream.read(len(_IPC_FILE)) != _IPC_FILE
    if is_stream:
        return Dataset.from_file(str(file))
    return Dataset(InMemoryTable(pyarrow.ipc.open_file(pyarrow.memory_map(str(file))).read_all()))


def _converted(file: Path) -> Any:
    """Return the dataset of a parquet file. It is decoded in small steps, and its memory goes back to the system."""
    import pyarrow
    from datasets import Dataset
    from pyarrow.dataset import ParquetFragmentScanOptions

    if is_empty_table(file):
        return Dataset.from_dict({})
    scan = ParquetFragmentScanOptions(use_buffered_stream=True, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    usual = pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        return Dataset.from_parquet(str(file), batch_size=_CONVERTED_ROWS, fragment_scan_options=scan)
    finally:
        pyarrow.set_memory_pool(usual)


def hub_name(file: Path) -> tuple[str, str]:
    """Return (name, split) of `hub:NAME@SPLIT`; the split is `train` if the path names none."""
    name, _, split = str(file).removeprefix(HUB).partition("@")
    return name, split or "train"
