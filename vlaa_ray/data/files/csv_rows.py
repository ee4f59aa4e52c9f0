"""Reads the rows of a CSV or TSV file, such as the metadata.csv of an imagefolder. Every value is text.

In a TSV, a picture that several rows share stands in one of them, in base64. The others hold its `index` instead, as
VLMEvalKit ships its benchmarks.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from vlaa_ray.data.files.streams import explained, kind_of, open_text
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import MAX_IMAGE_BYTES

_NOT_UTF8 = re.compile("[\ud800-\udfff]")  # as `surrogateescape` marks such a byte
_MOST_INDEX_CHARS = 64  # as in VLMEvalKit: a shorter value is the index of the row that holds the picture


def csv_rows(file: Path) -> Iterator[dict[str, str] | DataError]:
    """Yield the rows below the header in their order, with a DataError in place of a row that can't be read.

    Empty values are left out of the row. Raises DataError if the file can't be read.
    """
    csv.field_size_limit(2 * MAX_IMAGE_BYTES)  # a value may be an image in base64
    if kind_of(file) == ".csv":
        yield from _rows(file, ",")
        return
    pictures = _shared_pictures(file)
    for row in _rows(file, "\t"):
        if isinstance(row, dict) and (shared := pictures.get(row.get("image", ""))):
            row["image"] = shared
        yield row


def _rows(file: Path, delimiter: str) -> Iterator[dict[str, str] | DataError]:
    what = "CSV" if delimiter == "," else "TSV"
    with explained(file), open_text(file, errors="surrogateescape") as lines:
        reader = csv.DictReader(lines, strict=True, delimiter=delimiter)
        for number in itertools.count(1):
            try:
                yield _record(next(reader))
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise  # it concerns the whole file, not a row
            except (csv.Error, ValueError) as error:
                yield DataError(f"a row is not {what}: {error}", file=str(file), row=number)


def _record(row: dict[str, str]) -> dict[str, str]:
    if None in row:
        raise ValueError("it has more values than the header has names")
    for name, value in row.items():
        if value and (wrong := _NOT_UTF8.search(value)):
            raise ValueError(f"{name} holds the byte 0x{ord(wrong[0]) & 0xFF:02x}, which is not UTF-8")
    return {name: value for name, value in row.items() if value}


def _shared_pictures(file: Path) -> dict[str, str]:
    """Return the pictures that rows name by the index of another row, by that index."""
    named = {row["image"] for row in _rows(file, "\t") if isinstance(row, dict) and _is_index(row.get("image"))}
    if not named:
        return {}
    return {
        row["index"]: row["image"]
        for row in _rows(file, "\t")
        if isinstance(row, dict) and row.get("index") in named and row.get("image") and not _is_index(row["image"])
    }


def _is_index(value: str | None) -> bool:
    return bool(value) and len(str(value)) <= _MOST_INDEX_CHARS and str(value).isdigit()
