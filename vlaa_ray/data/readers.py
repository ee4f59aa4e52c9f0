"""Reads records of any known format from data files or datasets, and makes prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlaa_ray.config import FetchSection, SourceSection, TrainingConfig
from vlaa_ray.config.base_folder import BUILTIN
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.files.csv_rows import csv_rows
from vlaa_ray.data.files.json_rows import json_rows
from vlaa_ray.data.files.sources import root_of
from vlaa_ray.data.files.streams import kind_of
from vlaa_ray.data.files.tables import Table, is_table, open_table
from vlaa_ray.data.fingerprint import Digest
from vlaa_ray.data.formats.fields import field_of, identity_of
from vlaa_ray.data.formats.pairs import read_pair
from vlaa_ray.data.formats.registry import FORMATS, Draft, missing_in, read_record
from vlaa_ray.data.prompt_checks import refuse_faulty
from vlaa_ray.data.reading_notes import ReadingNotes
from vlaa_ray.data.reading_progress import log_progress, side_by_side
from vlaa_ray.data.record_faults import no_verifier
from vlaa_ray.errors import DataError
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.images.resolve import images_of
from vlaa_ray.records import VERIFIER_TYPES, Defect, Preference, Prompt

Row = dict[str, Any]
NO_FETCH = FetchSection()
UNSOLVED = "the record has no worked answer to learn from"
Item = TypeVar("Item")


def iterate_prompts(
    file: str | Path,
    image_root: str | Path | None,
    verifier_types: Collection[str] = VERIFIER_TYPES,
    verifier_type: str | None = None,
    keep: Collection[str] = (),
    fetch: FetchSection = NO_FETCH,
    notes: ReadingNotes | None = None,
) -> Iterator[tuple[int, Prompt | DataError]]:
    """Yield (row, prompt) for each record of a file, with a DataError in place of the prompt if the record is bad.

    Rows count from 1. `file` is an item of `record_files`, or `builtin:SPLIT`. Golds keep their type.

    Image paths are relative to `image_root` (default: the folder `images` beside the file, or else the file's folder).
    No image outside this folder is read, and images are fetched only from the hosts that `fetch` lists.

    A record that names no verifier type gets `verifier_type`. It is bad if its type is not in `verifier_types`.
    `keep` names fields of the record, such as `meta.rationale`, that are copied into the prompt's `meta`.
    `notes` is filled with what the records hold and the prompts don't.

    Raises DataError if the file, or the rest of it, can't be read.
    """
    if str(file).startswith(BUILTIN):
        return enumerate(BuiltinData(str(file).removeprefix(BUILTIN)), start=1)
    reader = _Reader(Path(file), image_root, verifier_types, verifier_type, keep, fetch, notes)
    return reader.read(rows_of(Path(file)), reader.prompt)


def iterate_pairs(
    file: str | Path,
    image_root: str | Path | None,
    fetch: FetchSection = NO_FETCH,
    notes: ReadingNotes | None = None,
) -> Iterator[tuple[int, Preference | DataError]]:
    """Yield (row, preference) for each record with a question and the answers `chosen` and `rejected`.

    A bad record gives a DataError in place of the preference. Rows, images and errors are as in `iterate_prompts`.
    """
    reader = _Reader(Path(file), image_root, fetch=fetch, notes=notes)
    return reader.read(rows_of(Path(file)), reader.pair)


def iterate_for(
    file: str | Path,
    source: SourceSection,
    fetch: FetchSection,
    config: TrainingConfig | None,
    notes: ReadingNotes | None = None,
) -> Iterator[tuple[int, Prompt | Preference | DataError]]:
    """Yield (row, prompt or preference) for each record, as a run with this config reads it.

    A bad record gives a DataError in its place. Without a config, records are read as for GRPO with default rewards.
    `notes` is filled with what the records hold and the prompts don't.
    """
    if config and config.learns_from == "preferences" and not str(file).startswith(BUILTIN):
        return iterate_pairs(file, source.image_root, fetch, notes)
    verifier_types = config.verifier_types if config else VERIFIER_TYPES
    return iterate_prompts(file, source.image_root, verifier_types, source.verifier_type, fetch=fetch, notes=notes)


@dataclass(frozen=True)
class Opened(Generic[Item]):
    """The wanted items of a file, the defects of its bad records, and the error of the first bad record."""

    items: Sequence[Item]
    defects: list[Defect]
    first_error: DataError | None
    num_rows: int


class PromptFilter:
    """Decides, prompt after prompt, whether the run wants it.

    A prompt is wanted if its verifier type is one of `verifier_types` (None: any) and its source has given fewer than
    `max_per_source` wanted prompts so far (None: no limit). Raises DataError if `solved` and it has no worked answer.
    """

    def __init__(self, verifier_types: Collection[str] | None, max_per_source: int | None, solved: bool) -> None:
        self._verifier_types, self._max_per_source, self._solved = verifier_types, max_per_source, solved
        self._num_of_source: Counter[str] = Counter()
        self.digest = Digest(solved)
        """The hash of the wanted prompts."""

    def __call__(self, prompt: Prompt) -> bool:
        if self._verifier_types is not None and prompt.verifier_type not in self._verifier_types:
            return False
        if self._solved and prompt.solution is None:
            raise DataError(UNSOLVED, id=prompt.prompt_id)
        self._num_of_source[prompt.source] += 1
        if self._max_per_source is not None and self._num_of_source[prompt.source] > self._max_per_source:
            return False
        self.digest.add(prompt)
        return True


def open_prompts(
    file: Path,
    image_root: str | Path | None,
    verifier_types: Collection[str],
    verifier_type: str | None,
    wanted: Callable[[Prompt], bool],
    fetch: FetchSection = NO_FETCH,
) -> Opened[Prompt]:
    """Return the prompts of a file for which `wanted` returns True. The whole file is read and checked once.

    A record is bad if it can't be read, if it has a fault of `prompt_checks`, or if `wanted` raises DataError for it.
    Prompts of a table that contain image bytes are not kept but made again when they are asked for, so memory does not
    grow with the images.

    Raises DataError if the file can't be read.
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
    """Return the preferences of a file. The whole file is read and checked once.

    Raises DataError if the file can't be read.
    """
    kept: list[Preference] = []

    def take(_: int, pair: Preference) -> None:
        refuse_faulty(pair.prompt)
        kept.append(pair)

    unfit = _take_all(file, iterate_pairs(file, image_root, fetch), take)
    return Opened(kept, *unfit)


def _take_all(
    file: Path, items: Iterable[tuple[int, Item | DataError]], take: Callable[[int, Item], None]
) -> tuple[list[Defect], DataError | None, int]:
    """Call `take` with the number and the item of every readable row.

    Return (defects, error of the first defect, number of rows).
    """
    defects: list[Defect] = []  # not the errors: their tracebacks would keep the rows in memory
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
    """Prompts of a table. `kept` holds each prompt, or the number of its row if it is made again when asked for."""

    def __init__(self, reader: _Reader, table: Table, kept: list[Prompt | int]) -> None:
        self._reader, self._table, self._kept = reader, table, kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Prompt:  # type: ignore[override]
        kept = self._kept[index]
        return self._reader.prompt(self._table[kept - 1], kept) if isinstance(kept, int) else kept


def row_id(file: Path, row: int) -> str:
    """Return the id of a record that has no id of its own: `FILE:ROW`."""
    return f"{file.name}:{row}"


def defect_of(error: DataError, file: Path, row: int) -> Defect:
    """Return the defect that an error of `iterate_prompts` describes, at this row of the file."""
    return Defect(
        id=str(error.facts.get("id", row_id(file, row))),
        file=str(file),
        row=row,
        reason=error.one_line(),
        expected=error.expected(),
        fix=error.fix,
    )


def rows_of(file: Path) -> Table | Iterator[Row | DataError]:
    """Return the records of one file in their order, with a DataError in place of each that is damaged.

    Raises DataError if the file can't be read.
    """
    if is_table(file):
        return open_table(file)
    return csv_rows(file) if kind_of(file) in (".csv", ".tsv") else json_rows(file)


class _Reader:
    """Makes prompts or preferences from the rows of one file."""

    def __init__(
        self,
        file: Path,
        image_root: str | Path | None,
        verifier_types: Collection[str] = VERIFIER_TYPES,
        verifier_type: str | None = None,
        keep: Collection[str] = (),
        fetch: FetchSection = NO_FETCH,
        notes: ReadingNotes | None = None,
    ) -> None:
        self.file = file
        self._notes = notes or ReadingNotes(str(file))
        self._keep = keep
        self._root = root_of(file, image_root)
        self._verifier_types = verifier_types
        self._verifier_type = verifier_type
        self._fetch, self._fetcher = fetch, Fetcher(fetch)

    def read(
        self, rows: Iterable[Row | DataError], make: Callable[[Row, int], Item]
    ) -> Iterator[tuple[int, Item | DataError]]:
        """Yield (number, `make(row, number)`) for each row, with a DataError in place of the item of a bad row."""

        def read_row(numbered: tuple[int, Row | DataError]) -> tuple[int, Item | DataError]:
            return self._read(*numbered, make)

        numbered = enumerate(rows, start=1)
        if not self._fetch.hosts:
            return log_progress(self.file, map(read_row, numbered))
        return log_progress(self.file, side_by_side(read_row, numbered, self._fetch.concurrency, self._fetcher.close))

    def _read(
        self, number: int, row: Row | DataError, make: Callable[[Row, int], Item]
    ) -> tuple[int, Item | DataError]:
        if isinstance(row, DataError):
            self._notes.add_refused()
            return number, row
        try:
            return number, make(row, number)
        except DataError as error:
            self._notes.add_refused()
            if (identity := identity_of(row)) is not None:
                error.facts["id"] = identity
            return number, error

    def prompt(self, row: Row, number: int) -> Prompt:
        """Return the prompt of the row with this number. Raises DataError with file and row if the record is bad."""
        return self._prompt(_draft(row, number, self.file, self._verifier_type), row, number)

    def _prompt(self, draft: Draft, row: Row, number: int) -> Prompt:
        file = self.file
        verifier_type = draft.verifier_type
        if verifier_type is None or verifier_type not in self._verifier_types:
            raise no_verifier(verifier_type, draft.source, self._verifier_types, file=str(file), row=number)
        images = images_of(draft.images, self._root, self._fetcher, file, number)
        params = dict(draft.verifier_params)
        self._notes.add(number, self._unread(draft), draft.unseen, len(images))
        prompt = Prompt(
            prompt_id=draft.record_id or row_id(file, number),
            question=draft.question,
            gold=draft.gold,
            verifier_type=verifier_type,
            source=draft.source,
            images=images,
            verifier_params=params,
            system=draft.system,
            history=draft.history,
            solution=draft.solution,
            record_format=draft.record_format,
            meta=self._kept(row, number),
        )
        image = prompt.gold_image
        if "original_px" in (params.get("frame"), params.get("gold_frame")) and image is not None:
            params.setdefault("image_size", [image.width_px, image.height_px])
        return prompt

    def pair(self, row: Row, number: int) -> Preference:
        """Return the preference of the row with this number. Raises DataError, with file and row, if it is bad."""
        try:
            pair = read_pair(row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            fix = "leave the record out, or give it a question and two different answers, `chosen` and `rejected`"
            raise DataError(str(error), file=str(self.file), row=number, fix=fix) from error
        draft = _draft(pair.row, number, self.file, None)
        seen = dict.fromkeys((*draft.unseen, *pair.unseen))
        prompt = self._prompt(replace(draft, unseen=tuple(seen)), row, number)
        return Preference(prompt=prompt, answers=(pair.chosen, pair.rejected), worths=(1.0, 0.0))

    def _unread(self, draft: Draft) -> list[str]:
        kept = {name.partition(".")[0] for name in self._keep}
        return [name for name in draft.unread if name not in kept]

    def _kept(self, row: Row, number: int) -> dict[str, Any]:
        try:
            return {name: value for name in self._keep if (value := field_of(row, name)) is not None}
        except ValueError as error:
            names = ", ".join(self._keep)
            message = f"a damaged record: a field that should hold further fields can't be read: {error}"
            raise DataError(message, file=str(self.file), row=number, fields=names) from error


def _draft(row: dict[str, Any], number: int, file: Path, verifier_type: str | None) -> Draft:
    try:
        draft = read_record(row, verifier_type)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"a damaged record: {error}", file=str(file), row=number) from error
    if draft is None:
        format_names = ", ".join(record_format.name for record_format in FORMATS)
        expected = f"images, question, and gt or answer; or the keys of {format_names}"
        fix = f"rename the record's columns, which are {', '.join(sorted(map(str, row)))}"
        message = f"a record lacks a field: {' and '.join(missing_in(row)) or 'no format has these keys together'}"
        raise DataError(message, file=str(file), row=number, expected=expected, fix=fix)
    return draft
