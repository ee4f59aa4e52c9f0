"""Rows of a CSV file, as the metadata of an imagefolder may be one: every value is a text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from vlaa_ray.data.images import MAX_IMAGE_BYTES
from vlaa_ray.errors import DataError


def csv_rows(file: Path) -> Iterator[dict[str, str] | DataError]:
    """The rows below the header, in their order, with what is wrong with those of too many values.

    A value that is missing is left out, so it is a field that the record lacks. DataError names the file, and the row
    behind which it can't be read on.
    """
    csv.field_size_limit(2 * MAX_IMAGE_BYTES)  # an image may be there in base64
    number = 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines, strict=True), start=1):
                if None in row:
                    yield DataError("a row has more values than the header has names", file=str(file), row=number)
                else:
                    yield {name: value for name, value in row.items() if value}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"can't read the data behind row {number}: {error}", file=str(file)) from error
