"""Record files into prompts: JSON arrays, JSON Lines, parquet and saved datasets, in any of the known formats."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from vlaa_ray.data.formats import FORMATS, Draft, read_record
from vlaa_ray.data.images import reference, reference_of
from vlaa_ray.errors import DataError
from vlaa_ray.records import VERIFIER_TYPES, Defect, ImageRef, Preference, Prompt


def iterate_prompts(
    file: str | Path,
    image_root: str | Path | None,
    verifier_types: Collection[str] = VERIFIER_TYPES,
    verifier_type: str | None = None,
) -> Iterator[tuple[int, Prompt | DataError]]:
    """(row, its prompt or what is wrong with it), whatever the format; DataError where the file can't be read on.

    Golds keep their type. Image paths are looked up below `image_root` (default: `images` in the file's folder, or
    that folder); none outside is read, and none is fetched from a network. `verifier_type` is for records that don't
    name one.
    """
    file = Path(file)
    root = _root(file, image_root)
    for number, row in enumerate(rows_of(file), start=1):
        try:
            yield number, _prompt(row, number, file, root, verifier_types, verifier_type)
        except DataError as error:
            if row.get("id") is not None:
                error.facts["id"] = str(row["id"])
            yield number, error


def defect_of(error: DataError, file: Path, row: int) -> Defect:
    """What `iterate_prompts` gave for a row that can't be read, as a report lists it."""
    return Defect(str(error.facts.get("id", f"{file.name}:{row}")), str(file), row, told(error))


def told(error: DataError) -> str:
    """The error in one line: what is wrong, and with which value."""
    got = error.facts.get("got")
    return error.message if got in (None, "") else f"{error.message} ({got})"


def read_preferences(file: str | Path, image_root: str | Path | None) -> list[Preference]:
    """The pairs of a file with `image`, `question`, `chosen` and `rejected`; DataError names file and row."""
    file = Path(file)
    root = _root(file, image_root)
    pairs = []
    for number, row in enumerate(rows_of(file), start=1):
        chosen, rejected = row.get("chosen"), row.get("rejected")
        if not (isinstance(chosen, str) and isinstance(rejected, str)):
            raise DataError("a pair needs two texts", file=str(file), row=number, expected="chosen, rejected")
        prompt = _prompt({"verifier_type": "open_ended", **row, "gt": chosen}, number, file, root)
        pairs.append(Preference(prompt=prompt, answers=(chosen, rejected), worths=(1.0, 0.0)))
    return pairs


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON, JSON Lines or parquet file, or of a folder that `datasets` saved; DataError names it."""
    if file.is_dir():
        return _saved_rows(file)
    return _parquet_rows(file) if file.suffix == ".parquet" else json_rows(file)


def _parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"can't read the data: {error}", file=str(file)) from error


def _saved_rows(folder: Path) -> Iterator[dict[str, Any]]:
    from datasets import Dataset, load_from_disk

    try:
        saved = load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        raise DataError(f"not a folder of a saved dataset: {error}", file=str(folder)) from error
    if not isinstance(saved, Dataset):
        splits = ", ".join(str(folder / name) for name in saved)
        raise DataError("the folder holds several splits", file=str(folder), fix=f"name one of {splits}")
    for table in saved.with_format("arrow").iter(256):  # as stored: images stay encoded
        yield from table.to_pylist()


def json_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array or of JSON Lines, in their order; DataError names file and row."""
    try:
        # not universal newlines: JSON strings may hold line ends of other kinds
        with file.open(encoding="utf-8", newline="\n") as opened:
            for number, row in enumerate(_json_values(opened, file), start=1):
                if not isinstance(row, dict):
                    raise DataError(
                        "a record must be a JSON object", file=str(file), row=number, got=type(row).__name__
                    )
                yield row
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the data: {error}", file=str(file)) from error


def _json_values(opened: TextIO, file: Path) -> Iterator[Any]:
    """One value a line, or those of the one array that the whole text is."""
    lines = (line for line in opened if line.strip())
    first = next(lines, "")
    if first.lstrip().startswith("["):
        yield from _parsed(first + opened.read(), file, 1)
        return
    for number, line in enumerate(chain([first] if first else [], lines), start=1):
        yield _parsed(line, file, number)


def _parsed(line: str, file: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"neither a JSON array nor JSON Lines: {error}", file=str(file), row=number) from error


def _root(file: Path, image_root: str | Path | None) -> Path:
    beside = file.parent / "images"
    return Path(image_root or (beside if beside.is_dir() else file.parent)).resolve()


def _prompt(
    row: dict[str, Any],
    number: int,
    file: Path,
    root: Path,
    verifier_types: Collection[str] = VERIFIER_TYPES,
    verifier_type: str | None = None,
) -> Prompt:
    draft = _draft(row, number, file, verifier_type)
    kind = draft.verifier_type
    if kind is None or kind not in verifier_types:
        facts = {"file": str(file), "row": number, "got": kind or draft.source}
        fix = "name it in the record's verifier_type, or for all of them in data.verifier_type"
        raise DataError("no verifier for this record", **facts, expected=list(verifier_types), fix=fix)
    images = tuple(_image(image, root, file, number) for image in draft.images)
    params = dict(draft.verifier_params)
    if params.get("frame") == "original_px" and images:
        params.setdefault("image_size", [images[0].width_px, images[0].height_px])
    return Prompt(
        prompt_id=draft.record_id or f"{file.name}:{number}",
        question=draft.question,
        gold=draft.gold,
        verifier_type=kind,
        source=draft.source,
        images=images,
        verifier_params=params,
        solution=draft.solution,
    )


def _draft(row: dict[str, Any], number: int, file: Path, verifier_type: str | None) -> Draft:
    try:
        draft = read_record(row, verifier_type)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"a damaged record: {error}", file=str(file), row=number) from error
    if draft is None:
        known = ", ".join(layout.name for layout in FORMATS)
        expected = f"image, question, and gt or answer; or the keys of {known}"
        raise DataError("a record lacks a field", file=str(file), row=number, expected=expected, got=sorted(row))
    return draft


def _image(image: Any, root: Path, file: Path, number: int) -> ImageRef:
    """The reference of whatever a record has for an image: a path, bytes, base64, or a mapping with one of them."""
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path") or image.get("image")
    try:
        if isinstance(image, bytes):
            return reference_of(image)
        if isinstance(image, str) and image.startswith("data:"):
            return reference_of(base64.b64decode(image.partition(",")[2], validate=True))
        if isinstance(image, str) and "://" not in image.removeprefix("file://"):
            return _file_below(image.removeprefix("file://"), root)
        raise DataError("not an image that is read from here", expected="a path, bytes or base64")
    except binascii.Error as error:
        raise DataError(f"an image is not base64: {error}", file=str(file), row=number) from error
    except DataError as error:
        facts = {"got": str(image)[:200], "file": str(file), **error.facts, "data": str(file), "row": number}
        raise DataError(error.message, fix=error.fix, **facts) from error


def _file_below(name: str, root: Path) -> ImageRef:
    relative = name.lstrip("/").removeprefix(f"{root.name}/")
    if Path(name).is_relative_to(root):
        relative = str(Path(name).relative_to(root))
    path = root / relative
    if "\0" in relative or not path.resolve().is_relative_to(root):
        raise DataError("the image lies outside the image root")
    return reference(path, relative)
