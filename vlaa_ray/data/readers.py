"""Records into prompts: of JSON arrays, JSON Lines, CSV, parquet files and datasets, in any of the known formats."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlaa_ray.config import FetchSection, SourceSection, TrainingConfig
from vlaa_ray.data.builtin import BUILTIN, BuiltinData
from vlaa_ray.data.files.csv_rows import csv_rows
from vlaa_ray.data.files.json_rows import json_rows
from vlaa_ray.data.files.sources import root_of
from vlaa_ray.data.files.tables import Table, is_table, open_table
from vlaa_ray.data.formats.fields import field_of, identity_of
from vlaa_ray.data.formats.registry import FORMATS, Draft, read_record
from vlaa_ray.data.prompt_checks import refuse_faulty
from vlaa_ray.data.reading_progress import log_progress, side_by_side
from vlaa_ray.errors import DataError
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.images.resolve import image_of
from vlaa_ray.records import VERIFIER_TYPES, Defect, Preference, Prompt

Row = dict[str, Any]
NO_FETCH = FetchSection()
Item = TypeVar("Item")


def iterate_prompts(
    file: str | Path,
    image_root: str | Path | None,
    verifier_types: Collection[str] = VERIFIER_TYPES,
    verifier_type: str | None = None,
    keep: Collection[str] = (),
    fetch: FetchSection = NO_FETCH,
) -> Iterator[tuple[int, Prompt | DataError]]:
    """(row, its prompt or what is wrong with it), whatever the format; DataError where the file can't be read on.

    `file` is one of `record_files`, `builtin:SPLIT` among them. Golds keep their type. Image paths are looked up below
    `image_root` (default: `images` in the file's folder, or that folder); none outside is read, and none is fetched
    from a network but from the hosts that `fetch` lists.
    `verifier_type` is for records that don't name one. The fields of the record that `keep` names, such as
    `meta.rationale`, come along in the prompt's `meta`.
    """
    if str(file).startswith(BUILTIN):
        return enumerate(BuiltinData(str(file).removeprefix(BUILTIN)), start=1)
    reader = _Reader(Path(file), image_root, verifier_types, verifier_type, keep, fetch)
    return reader.read(rows_of(Path(file)), reader.prompt)


def iterate_pairs(
    file: str | Path, image_root: str | Path | None, fetch: FetchSection = NO_FETCH
) -> Iterator[tuple[int, Preference | DataError]]:
    """(row, its pair or what is wrong with it) of records with `image`, `question`, `chosen` and `rejected`."""
    reader = _Reader(Path(file), image_root, fetch=fetch)
    return reader.read(rows_of(Path(file)), reader.pair)


def iterate_for(
    file: str | Path, source: SourceSection, fetch: FetchSection, config: TrainingConfig | None
) -> Iterator[tuple[int, Prompt | Preference | DataError]]:
    """(row, its record or what is wrong with it) as a run of this config would read it; None: of any GRPO run."""
    if config and config.learns_from == "preferences" and not str(file).startswith(BUILTIN):
        return iterate_pairs(file, source.image_root, fetch)
    known = config.verifier_types if config else VERIFIER_TYPES
    return iterate_prompts(file, source.image_root, known, source.verifier_type, fetch=fetch)


@dataclass(frozen=True)
class Opened(Generic[Item]):
    """The items of a file that were wanted, and what can't be used: the defects, and the error of the first."""

    items: Sequence[Item]
    defects: list[Defect]
    first_error: DataError | None
    num_rows: int


def open_prompts(
    file: Path,
    image_root: str | Path | None,
    verifier_types: Collection[str],
    verifier_type: str | None,
    wanted: Callable[[Prompt], bool],
    fetch: FetchSection = NO_FETCH,
) -> Opened[Prompt]:
    """All of a file is read and checked once, also for what no model can be asked with; a DataError of `wanted` counts.

    Of a table, prompts that hold images are made again whenever they are asked for: memory doesn't grow with them.
    """
    reader = _Reader(file, image_root, verifier_types, verifier_type, fetch=fetch)
    rows = rows_of(file)
    kept: list[Prompt | int] = []

    def take(number: int, prompt: Prompt) -> None:
        refuse_faulty(prompt)
        if wanted(prompt):
            holds_images = any(image.data is not None for image in prompt.images)
            kept.append(number if holds_images and isinstance(rows, Table) else prompt)

    unfit = _take_all(file, reader.read(rows, reader.prompt), take)
    prompts: Any = _TablePrompts(reader, rows, kept) if isinstance(rows, Table) else kept
    return Opened(prompts, *unfit)


def open_pairs(file: Path, image_root: str | Path | None, fetch: FetchSection = NO_FETCH) -> Opened[Preference]:
    """All of a file of pairs, read and checked once."""
    kept: list[Preference] = []

    def take(_: int, pair: Preference) -> None:
        refuse_faulty(pair.prompt)
        kept.append(pair)

    unfit = _take_all(file, iterate_pairs(file, image_root, fetch), take)
    return Opened(kept, *unfit)


def _take_all(
    file: Path, items: Iterable[tuple[int, Item | DataError]], take: Callable[[int, Item], None]
) -> tuple[list[Defect], DataError | None, int]:
    """(defects, the error of the first, rows) of what can't be read or taken."""
    defects: list[Defect] = []  # not the errors, which would hold on to their rows
    first_error: DataError | None = None
    number = 0
    for number, item in items:
        try:
            if isinstance(item, DataError):
                raise item
            take(number, item)
        except DataError as error:
            error.facts.setdefault("file", str(file))
            error.facts.setdefault("row", number)
            defects.append(defect_of(error, file, number))
            first_error = first_error or error.with_traceback(None)
    return defects, first_error, number


class _TablePrompts(Sequence[Prompt]):
    """The prompts of a table's rows: the prompt itself, or its row's number where that holds images."""

    def __init__(self, reader: _Reader, table: Table, kept: list[Prompt | int]) -> None:
        self._reader, self._table, self._kept = reader, table, kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Prompt:  # type: ignore[override]
        kept = self._kept[index]
        return self._reader.prompt(self._table[kept - 1], kept) if isinstance(kept, int) else kept


def row_id(file: Path, row: int) -> str:
    """What a record is called that has no id of its own."""
    return f"{file.name}:{row}"


def defect_of(error: DataError, file: Path, row: int) -> Defect:
    """What `iterate_prompts` gave for a row that can't be read, as a report lists it."""
    return Defect(str(error.facts.get("id", row_id(file, row))), str(file), row, error.one_line())


def rows_of(file: Path) -> Table | Iterator[Row | DataError]:
    """The records of one file, in their order; DataError names a file that can't be read."""
    if is_table(file):
        return open_table(file)
    return csv_rows(file) if file.suffix.lower() == ".csv" else json_rows(file)


class _Reader:
    """Makes the prompts of one file's rows."""

    def __init__(
        self,
        file: Path,
        image_root: str | Path | None,
        verifier_types: Collection[str] = VERIFIER_TYPES,
        verifier_type: str | None = None,
        keep: Collection[str] = (),
        fetch: FetchSection = NO_FETCH,
    ) -> None:
        self.file = file
        self._keep = keep
        self._root = root_of(file, image_root)
        self._verifier_types = verifier_types
        self._verifier_type = verifier_type
        self._fetch, self._fetcher = fetch, Fetcher(fetch)

    def read(
        self, rows: Iterable[Row | DataError], make: Callable[[Row, int], Item]
    ) -> Iterator[tuple[int, Item | DataError]]:
        """Each row's number and what is made of it, `prompt` or `pair`; or what is wrong with it."""

        def one(numbered: tuple[int, Row | DataError]) -> tuple[int, Item | DataError]:
            return self._read(*numbered, make)

        numbered = enumerate(rows, start=1)
        if not self._fetch.hosts:
            return log_progress(self.file, map(one, numbered))
        return log_progress(self.file, side_by_side(one, numbered, self._fetch.concurrency, self._fetcher.close))

    def _read(
        self, number: int, row: Row | DataError, make: Callable[[Row, int], Item]
    ) -> tuple[int, Item | DataError]:
        if isinstance(row, DataError):
            return number, row
        try:
            return number, make(row, number)
        except DataError as error:
            if (identity := identity_of(row)) is not None:
                error.facts["id"] = identity
            return number, error

    def prompt(self, row: Row, number: int) -> Prompt:
        """The prompt of the row with this number; DataError names file and row."""
        file = self.file
        draft = _draft(row, number, file, self._verifier_type)
        kind = draft.verifier_type
        if kind is None or kind not in self._verifier_types:
            facts: dict[str, Any] = {"file": str(file), "row": number, "got": kind or draft.source}
            fix = "name it in the record's verifier_type, or for all of them in data.verifier_type"
            raise DataError("no verifier for this record", **facts, expected=list(self._verifier_types), fix=fix)
        images = tuple(image_of(image, self._root, self._fetcher, file, number) for image in draft.images)
        params = dict(draft.verifier_params)
        if "original_px" in (params.get("frame"), params.get("gold_frame")) and images:
            params.setdefault("image_size", [images[0].width_px, images[0].height_px])
        return Prompt(
            prompt_id=draft.record_id or row_id(file, number),
            question=draft.question,
            gold=draft.gold,
            verifier_type=kind,
            source=draft.source,
            images=images,
            verifier_params=params,
            solution=draft.solution,
            format=draft.format,
            meta=self._kept(row, number),
        )

    def pair(self, row: Row, number: int) -> Preference:
        """The pair of the row with this number; DataError names file and row."""
        chosen, rejected = row.get("chosen"), row.get("rejected")
        if not (isinstance(chosen, str) and isinstance(rejected, str)):
            raise DataError("a pair needs two texts", file=str(self.file), row=number, expected="chosen, rejected")
        prompt = self.prompt({"verifier_type": "open_ended", **row, "gt": chosen}, number)
        return Preference(prompt=prompt, answers=(chosen, rejected), worths=(1.0, 0.0))

    def _kept(self, row: Row, number: int) -> dict[str, Any]:
        try:
            return {name: value for name in self._keep if (value := field_of(row, name)) is not None}
        except ValueError as error:
            names = ", ".join(self._keep)
            message = f"a damaged record: a field that holds others can't be read: {error}"
            raise DataError(message, file=str(self.file), row=number, fields=names) from error


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
