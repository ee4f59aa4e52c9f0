"""Reads the rows of a CSV file, such as the metadata.csv of an imagefolder. Every value is text."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import MAX_IMAGE_BYTES


def csv_rows(file: Path) -> Iterator[dict[str, str] | DataError]:
    """Yield the rows below the header in their order, with a DataError in place of a row that is not CSV.

    Empty values are left out of the row. Raises DataError if the file can't be read.
    """
    csv.field_size_limit(2 * MAX_IMAGE_BYTES)  # a value may be an image in base64
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            for number in itertools.count(1):
                try:
                    yield _record(next(reader))
                except StopIteration:
                    return
                except (csv.Error, ValueError) as error:
                    yield DataError(f"a row is not CSV: {error}", file=str(file), row=number)
    except OSError as error:
        raise DataError(f"can't read the data: {error.strerror}", file=str(file)) from error


def _record(row: dict[str, str]) -> dict[str, str]:
    if None in row:
        raise ValueError("it has more values than the header has names")
    for value in filter(None, row.values()):
        value.encode()  # raises UnicodeEncodeError, with the position, if the bytes were not UTF-8
    return {name: value for name, value in row.items() if value}
