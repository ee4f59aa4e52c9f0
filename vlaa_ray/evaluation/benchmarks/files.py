"""Reads the files of a benchmark: VLMEvalKit's TSV, or the files that the benchmark's authors publish.

    read_rows(reader, Path("MathVista_MINI.tsv"))   -> the rows, with their pictures
    read_rows(reader, Path("benchmarks/"))          -> the same, if the folder holds a file of the benchmark

A picture is base64, a path, encoded bytes, the `index` of the row that holds it, or a list of these. Paths are read
below the file's folder only. Nothing is left out in silence: a row that can't be used raises DataError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar, Protocol

from vlaa_ray.data.formats.fields import literal
from vlaa_ray.data.formats.tracked_row import is_missing
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.base import Row
from vlaa_ray.records import ImageRef

Fields = dict[str, Any]
_PICTURES = ("images", "image", "decoded_image", "image_path", "img_path", "imagename")
_MOST_PATH_CHARS = 1024
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


def read_rows(reader: Reader, path: Path) -> list[Row]:
    """Return the rows of a benchmark's file, or of the files in a folder, in their order.

    Raises DataError, with file and row, for a missing file, a damaged or incomplete row, an index that occurs twice, a
    picture that is missing or can't be read, and for a file without rows.
    """
    rows: list[Row] = []
    places: dict[str, tuple[Path, int]] = {}
    for file in benchmark_files(reader, path):
        with _Pictures(reader, file) as pictures:
            for number, record, fields in _records(reader, file):
                index = _index(fields.get("index"), file, number)
                if index in places:
                    other, at = places[index]
                    message = f"the index {index!r} occurs twice; it was first in row {at} of {other.name}"
                    raise DataError(message, file=str(file), row=number, fix="give each row an index of its own")
                places[index] = file, number
                images = pictures.of_row(record, index, number)
                rows.append(Row(index=index, fields=_plain(fields, index), images=images))
            rows = pictures.completed(rows)
    if not rows:
        raise DataError(f"no row belongs to {reader.name}", file=str(path))
    return rows


def benchmark_files(reader: Reader, path: Path) -> list[Path]:
    """Return the files of a benchmark: `path` itself, or what a folder holds, VLMEvalKit's file first.

    Raises DataError, with the names that were looked for, if there are no files.
    """
    names = (f"{reader.kit_name}.tsv", f"{reader.name}.tsv", *reader.files)
    if path.is_file():
        return [path]
    inside = sorted(file for file in path.glob("*") if file.is_file()) if path.is_dir() else []
    inside += sorted(file for file in path.glob("*/*") if file.is_file()) if path.is_dir() else []
    for name in names:
        if found := [file for file in inside if fnmatch(file.name.lower(), name.lower())]:
            return _of_one_folder(reader, found, path)
    what = f"the folder holds no file of {reader.name}" if path.is_dir() else "there is no such file or folder"
    fix = f"download {reader.kit_name}.tsv from VLMEvalKit, or the authors' file, and name it or its folder"
    raise DataError(what, file=str(path), expected=list(names), fix=fix)


def _of_one_folder(reader: Reader, found: list[Path], path: Path) -> list[Path]:
    """Return the files of the folder itself, or of the one below it that is named like the benchmark, or the only one.

    Several benchmarks call their file `testmini.json`. Raises DataError if no name tells which is meant.
    """
    folders = dict.fromkeys(file.parent for file in found)
    named = [folder for folder in folders if _plain_name(reader.name) in _plain_name(folder.name)]
    chosen = path if path in folders else named[0] if named else next(iter(folders))
    if chosen is not path and len(named or folders) > 1:
        got = [str(file.relative_to(path)) for file in found[:8]]
        fix = "name the file, or the folder that holds it"
        raise DataError(f"several files may be those of {reader.name}", file=str(path), got=got, fix=fix)
    return [file for file in found if file.parent == chosen]


def _plain_name(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


def _records(reader: Reader, file: Path) -> Iterator[tuple[int, Fields, Fields]]:
    """Yield (row, record, its columns under VLMEvalKit's names) for each record that belongs to the benchmark."""
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
            yield number, record, fields


def _plain(fields: Fields, index: str) -> Fields:
    kept = {name: value for name, value in fields.items() if name not in _PICTURES and not is_missing(value)}
    return kept | {"index": index}


def _index(value: Any, file: Path, number: int) -> str:
    index = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if is_missing(value) or not index:
        raise DataError("the row has no index", file=str(file), row=number, expected="a column `index`")
    return index


class _Pictures:
    """Makes the references of the pictures of one file's rows. A picture that several rows share is held once."""

    def __init__(self, reader: Reader, file: Path) -> None:
        from vlaa_ray.config import FetchSection
        from vlaa_ray.images.fetch import Fetcher

        self._reader, self._file = reader, file
        self._fetcher = Fetcher(FetchSection())  # which fetches nothing, because no host is listed
        self._by_hash: dict[str, ImageRef] = {}
        self._of_index: dict[str, tuple[ImageRef, ...]] = {}
        self._named: dict[str, tuple[str, int]] = {}
        """The rows that name another row's picture: (the other's index, the row's number), by index."""

    def __enter__(self) -> _Pictures:
        return self

    def __exit__(self, *exc: object) -> None:
        self._fetcher.close()

    def of_row(self, record: Fields, index: str, number: int) -> tuple[ImageRef, ...]:
        """Return the row's pictures; none yet if it names a row. Raises DataError if it has none, or a bad one."""
        held = _held(record)
        if not held:
            raise self._without_picture(index, number)
        if len(held) == 1 and isinstance(held[0], str) and _may_be_index(held[0]):
            self._named[index] = held[0], number
            return ()
        self._of_index[index] = tuple(self._reference(picture, number) for picture in held)
        return self._of_index[index]

    def completed(self, rows: list[Row]) -> list[Row]:
        """Return the rows with the pictures of the rows that they name. A name that is no index may be a file's."""
        return [replace(row, images=self._images_of(row)) if row.index in self._named else row for row in rows]

    def _images_of(self, row: Row) -> tuple[ImageRef, ...]:
        name, number = self._named[row.index]
        if name in self._of_index:
            return self._of_index[name]
        if name in self._named or name.isdigit():
            message = f"the row names the picture of row {name!r}, which has none"
            raise DataError(message, file=str(self._file), row=number, index=row.index)
        return (self._reference(name, number),)

    def _without_picture(self, index: str, number: int) -> DataError:
        fix = "take the complete file: a row without its picture would be another question"
        return DataError("the row has no picture", file=str(self._file), row=number, index=index, fix=fix)

    def _reference(self, picture: Any, number: int) -> ImageRef:
        from vlaa_ray.images.resolve import image_of

        folder = self._file.parent.resolve()
        if isinstance(picture, str) and len(picture) < _MOST_PATH_CHARS:
            below = (f"images/{name}/{picture.lstrip('/')}" for name in (self._reader.kit_name, self._reader.name))
            picture = next((spelling for spelling in below if (folder / spelling).is_file()), picture)
        try:
            image = image_of(picture, folder, self._fetcher, self._file, number)
        except DataError as error:
            facts = {name: value for name, value in error.facts.items() if name != "data"}
            facts |= {"file": str(self._file), "row": number}
            raise DataError(error.message, fix=error.fix, **facts) from error
        return self._by_hash.setdefault(image.sha256, image)


def _may_be_index(text: str) -> bool:
    return len(text) <= _MOST_INDEX_CHARS and "/" not in text


def _held(record: Fields) -> list[Any]:
    """Return the pictures, or the name of the row that has them, as the first column with a picture holds them."""
    for name in _PICTURES:
        value = record.get(name)
        if is_missing(value) or (isinstance(value, str) and value.strip() in ("nan", "None")):
            continue
        if name == "image" and isinstance(value, str) and not is_missing(record.get("decoded_image")):
            continue  # the official tables have the path beside the picture
        value = literal(value)
        items = value if isinstance(value, list | tuple) else [value]
        return [item for item in items if not is_missing(item)]
    return []
