"""The records that a run leaves out of its data: a file with them in the run folder, and a note with their number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vlaa_ray.records import Defect

_FILE = "quarantine.jsonl"


def write_quarantine(folder: Path, defects: Sequence[Defect]) -> None:
    """Write `quarantine.jsonl`: id, file, row and reason of each record that is left out; it may be empty."""
    write_defects(folder / _FILE, defects)


def write_defects(file: Path, defects: Sequence[Defect]) -> None:
    """Write id, file, row and reason of each record to `file`, one JSON object a line.

    A record whose error says what was expected or what to do has `expected` and `fix`, too.
    """
    lines = "".join(json.dumps(defect.as_json(), ensure_ascii=False) + "\n" for defect in defects)
    file.write_text(lines, encoding="utf-8", errors="backslashreplace")


def quarantine_note(folder: Path) -> str | None:
    """Return a sentence with the number of records in `quarantine.jsonl` and the first of them; None if it is empty."""
    with (folder / _FILE).open(encoding="utf-8") as lines:
        first = next(lines, None)
        count = 1 + sum(1 for _ in lines)
    if first is None:
        return None
    defect = Defect(**json.loads(first))
    return f"{_left_out(count, defect)}; {_FILE} has them all"


def left_out(defects: Sequence[Defect]) -> str:
    """Return the part of a sentence that says how many records are left out, and why the first of them."""
    return _left_out(len(defects), defects[0])


def _left_out(count: int, first: Defect) -> str:
    where = f"row {first.row} of {first.file}: {first.reason}"
    if count == 1:
        return f"1 record can't be used and is left out, in {where}"
    return f"{count:,} records can't be used and are left out, the first in {where}"
