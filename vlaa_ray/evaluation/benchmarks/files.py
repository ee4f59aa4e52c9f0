"""Reads the files of a benchmark: VLMEvalKit's TSV, or the files that the benchmark's authors publish.

    read_rows(reader, Path("MathVista_MINI.tsv"))   -> the rows, with their pictures
    read_rows(reader, Path("benchmarks/"))          -> the same, if the folder holds a file of the benchmark

A picture is base64, a path, encoded bytes, the `index` of the row that holds it, or a list of these. Paths are read
below the file's folder only. Nothing is left out in silence: a row that can't be used raises DataError.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from vlaa_ray.data.formats.fields import literal
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.base import Row
from vlaa_ray.records import ImageRef

Fields = dict[str, Any]
_PICTURES = ("images", "image", "decoded_image", "image_path", "img_path", "imagename")
_MOST_INDEX_CHARS = 64  # as in VLMEvalKit: a shorter text is the index of the row that holds the picture


class Reader(Protocol):
    """What `read_rows` has to know about a benchmark."""

    name: ClassVar[str]
    kit_name: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    """Patterns of the names that its authors' files have."""

    def fields_of(self, record: Fields, file: Path) -> Fields | None:
        """Return the columns under VLMEvalKit's names, `index` among them; None if the record isn't in the benchmark.

        Raises DataError if the record lacks something.
        """


class _Found(NamedTuple):
    number: int
    record: Fields
    fields: Fields


def read_rows(reader: Reader, path: Path) -> list[Row]:
    """Return the rows of a benchmark's file, or of the files in a folder, in their order.

    Raises DataError, with file and row, for a missing file, a damaged or incomplete row, an index that occurs twice, a
    picture that is missing or can't be read, and for a file without rows.
    """
    rows: list[Row] = []
    first_of: dict[str, tuple[Path, int]] = {}
    for file in benchmark_files(reader, path):
        for row, number in _rows_of(reader, file):
            if row.index in first_of:
                other, at = first_of[row.index]
                message = f"the index {row.index!r} occurs twice; it was first in row {at} of {other.name}"
                raise DataError(message, file=str(file), row=number, fix="give each row an index of its own")
            first_of[row.index] = file, number
            rows.append(row)
    if not rows:
        raise DataError(f"no row belongs to {reader.name}", file=str(path))
    return rows


def benchmark_files(reader: Reader, path: Path) -> list[Path]:
    """Return the files of a benchmark: `path` itself, or what a folder holds, VLMEvalKit's file first.

    Raises DataError, with the names that were looked for, if there is none.
    """
    names = (f"{reader.kit_name}.tsv", f"{reader.name}.tsv", *reader.files)
    if path.is_file():
        return [path]
    inside = sorted(file for file in path.glob("*") if file.is_file()) if path.is_dir() else []
    inside += sorted(file for file in path.glob("*/*") if file.is_file()) if path.is_dir() else []
    for name in names:
        if found := [file for file in inside if fnmatch(file.name.lower(), name.lower())]:
            folder = found[0].parent
            return [file for file in found if file.parent == folder]
    what = f"the folder holds no file of {reader.name}" if path.is_dir() else "there is no such file or folder"
    fix = f"download {reader.kit_name}.tsv from VLMEvalKit, or the authors' file, and name it or its folder"
    raise DataError(what, file=str(path), expected=list(names), fix=fix)


def _rows_of(reader: Reader, file: Path) -> Iterator[tuple[Row, int]]:
    from vlaa_ray.config import FetchSection
    from vlaa_ray.images.fetch import Fetcher

    found = list(_records(reader, file))
    holders = {str(one.record.get("index", "")): one.record for one in found}
    fetcher = Fetcher(FetchSection())  # which fetches nothing, because no host is listed
    try:
        for number, record, fields in found:
            pictures = _pictures(record, holders)
            if not pictures:
                fix = "take the complete file: a row without its picture would be another question"
                raise DataError("the row has no picture", file=str(file), row=number, index=fields["index"], fix=fix)
            images = tuple(_image(picture, reader, file, number, fetcher) for picture in pictures)
            yield Row(index=fields["index"], fields=fields, images=images), number
    finally:
        fetcher.close()


def _records(reader: Reader, file: Path) -> Iterator[_Found]:
    from vlaa_ray.data.readers import rows_of

    for number, record in enumerate(rows_of(file), start=1):
        if isinstance(record, DataError):
            raise record
        try:
            fields = reader.fields_of(record, file)
        except DataError as error:
            error.add_facts(file=str(file), row=number)
            raise
        if fields is not None:
            plain = {name: value for name, value in fields.items() if name not in _PICTURES and not is_missing(value)}
            plain["index"] = _index(plain.get("index"), file, number)
            yield _Found(number, record, plain)


def _index(value: Any, file: Path, number: int) -> str:
    index = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if is_missing(value) or not index:
        raise DataError("the row has no index", file=str(file), row=number, expected="a column `index`")
    return index


def _pictures(record: Fields, holders: dict[str, Fields]) -> list[Any]:
    """Return the row's pictures as the file holds them; those of the row that it names, if it names one."""
    for name in _PICTURES:
        value = record.get(name)
        if is_missing(value) or (isinstance(value, str) and value.strip() in ("nan", "None")):
            continue
        if isinstance(value, str) and len(value) <= _MOST_INDEX_CHARS and value in holders:
            held = holders[value].get(name)
            if not isinstance(held, str) or len(held) <= _MOST_INDEX_CHARS:
                continue  # it names a row without a picture
            value = held
        if name == "image" and isinstance(value, str) and not is_missing(record.get("decoded_image")):
            continue  # the official table has the path beside the picture
        value = literal(value)
        return [item for item in (value if isinstance(value, list | tuple) else [value]) if not is_missing(item)]
    return []


def _image(picture: Any, reader: Reader, file: Path, number: int, fetcher: Any) -> ImageRef:
    from vlaa_ray.images.resolve import image_of

    folder = file.parent.resolve()
    spellings = [picture]
    if isinstance(picture, str) and len(picture) < 1024:
        spellings += [f"images/{reader.kit_name}/{picture}", f"images/{reader.name}/{picture}"]
    for spelling in spellings[1:]:
        if (folder / spelling).is_file():
            return image_of(spelling, folder, fetcher, file, number)
    return image_of(picture, folder, fetcher, file, number)
