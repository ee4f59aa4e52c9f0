"""What the readers of a file left unread: columns, and texts of records that the model will not see.

    notes = ReadingNotes("train.jsonl")
    for number, prompt in iterate_for(file, source, fetch, config, notes): ...
    notes.unread_columns  -> Counter({"difficulty": 25195})
    notes.unseen          -> Counter({"later turns": 12})
    notes.lines()         -> ["25195 of 25195 records: no reader looks at the column `difficulty`", …]

The notes are complete when the last record has been read. A record that can't be read at all is only counted in
`num_records`: its error says what is wrong with it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LATER_TURNS = "later turns"
TOOLS = "tools"
UNSEEN = (LATER_TURNS, TOOLS)
"""The parts of a record that a reader recognises, but that the model is not shown."""


@dataclass(frozen=True)
class SkippedFile:
    """A file of a folder that holds no records, or that can't be read as records, and why it is left out."""

    path: str
    reason: str

    def line(self) -> str:
        """Return the file and the reason as one line."""
        return f"{self.path}: {self.reason}"


@dataclass
class ReadingNotes:
    """Counts of what was left unread in one file. Readers may add to it from several threads."""

    file: str
    num_records: int = 0
    """The records that were read or refused so far."""
    num_refused: int = 0
    """The records that could not be read: each has a defect of its own."""
    without_picture: int = 0
    """The records that were read and have no picture."""
    unread_columns: Counter[str] = field(default_factory=Counter)
    """For each column that no reader looked at, the number of records with a value in it."""
    unseen: Counter[str] = field(default_factory=Counter)
    """For each name of UNSEEN, the number of records that have such a part."""
    first_rows: dict[str, int] = field(default_factory=dict)
    """The first row for each name in `unread_columns` and `unseen`, and for "without picture"."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, row: int, unread: Iterable[str], unseen: Iterable[str], num_pictures: int) -> None:
        """Add one record that was read: the columns without a reader, the parts of UNSEEN, its number of pictures."""
        with self._lock:
            self.num_records += 1
            if not num_pictures:
                self.without_picture += 1
                self._note_row("without picture", row)
            for counts, names in ((self.unread_columns, unread), (self.unseen, unseen)):
                for name in names:
                    counts[name] += 1
                    self._note_row(name, row)

    def add_refused(self) -> None:
        """Add one record that could not be read."""
        with self._lock:
            self.num_records += 1
            self.num_refused += 1

    def _note_row(self, name: str, row: int) -> None:
        first = self.first_rows.get(name)
        if first is None or row < first:
            self.first_rows[name] = row

    def lines(self) -> list[str]:
        """Return one line for each thing that was left unread; no line if all of every record is used.

        Records without a picture are named, too: they may be meant to have one.
        """
        read = self.num_records - self.num_refused
        lines = [
            f"{count} of {read} records: no reader looks at the column `{name}` (first: row {self.first_rows[name]})"
            for name, count in self.unread_columns.most_common()
        ]
        lines += [
            f"{self.unseen[name]} of {read} records: the model will not see the {name} (first: row "
            f"{self.first_rows[name]})"
            for name in UNSEEN
            if self.unseen[name]
        ]
        if self.without_picture:
            first = self.first_rows["without picture"]
            lines.append(f"{self.without_picture} of {read} records have no picture (first: row {first})")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON takes them, for a report."""
        return {
            "file": self.file,
            "records": self.num_records,
            "refused": self.num_refused,
            "without_picture": self.without_picture,
            "unread_columns": dict(self.unread_columns.most_common()),
            "unseen": dict(self.unseen.most_common()),
            "first_rows": dict(self.first_rows),
        }
