"""Rows of a CSV file, as the metadata of an imagefolder may be one: every value is a text."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import MAX_IMAGE_BYTES


def csv_rows(file: Path) -> Iterator[dict[str, str] | DataError]:
    """The rows below the header, in their order, or what is wrong with one; DataError where the file can't be read.

    A value that is missing is left out, so it is a field that the record lacks.
    """
    csv.field_size_limit(2 * MAX_IMAGE_BYTES)  # an image may be there in base64
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
        value.encode()  # its UnicodeEncodeError says where bytes are that are not UTF-8
    return {name: value for name, value in row.items() if value}
