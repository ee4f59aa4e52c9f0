"""The result of a data check, and the tables that the terminal shows of it: remarks grouped by their reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlaa_ray.records import Defect

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_SHOWN = 20
_SHOWN_ROWS = 5
_SHOWN_CHARS = 500
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]|\d[\d,.]*|\\u[0-9a-f]{4}")
"""What differs between records with the same fault: quoted text, brackets and numbers."""


@dataclass
class Remark:
    """Something that the check found in `count` records. `places` holds the first of them, as `FILE:ROW`.

    A place without a row is a whole file.
    """

    reason: str
    count: int = 0
    places: list[str] = field(default_factory=list)
    expected: str = ""
    fix: str = ""

    def add(self, place: str, count: int = 1) -> None:
        """Count further records, the first of them at `place` (empty: nowhere in particular)."""
        self.count += count
        if place and place not in self.places and len(self.places) < _SHOWN_ROWS:
            self.places.append(place)


class Remarks:
    """Remarks by their reason, in the order in which they were found first."""

    def __init__(self) -> None:
        self._by_kind: dict[str, Remark] = {}

    def add(self, reason: str, place: str, *, count: int = 1, expected: str = "", fix: str = "") -> None:
        """Count records with this reason. Reasons that differ only in quoted text and numbers are one remark."""
        kind = _PARTICULAR.sub("…", reason)
        remark = self._by_kind.setdefault(kind, Remark(reason, expected=expected, fix=fix))
        remark.add(place, count)

    def sorted(self) -> list[Remark]:
        """Return the remarks, those of the most records first."""
        return sorted(self._by_kind.values(), key=lambda remark: -remark.count)


@dataclass
class Report:
    """The result of a check: the defects of the data and its statistics. A run on data without defects is safe.

    `statistics` holds counts by format, source, verifier type and type of gold, the commonest golds, the spread (least,
    median, most) of image sizes in pixels and of lengths in tokens, and the pairs of similar images in different
    sources. `warnings` are things to look at that are no defects. `unused` says what of the data a run will not use.
    """

    defects: list[Defect] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    unused: list[Remark] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the report as `vlaa-ray data check --report` writes it."""
        content = {
            "defects": [defect.as_json() for defect in self.defects],
            "warnings": [asdict(remark) for remark in self.warnings],
            "unused": [asdict(remark) for remark in self.unused],
            "statistics": self.statistics,
        }
        return json.dumps(content, indent=1)

    def verdict(self) -> str:
        """Return one sentence that says whether a run on this data is safe."""
        if not self.defects:
            return "No defects."
        num_files = len({defect.file for defect in self.defects if not defect.row})
        num_records = self.statistics["records_with_defects"]
        records = f"{num_records:,} of {self.statistics['records']:,} records have defects" if num_records else ""
        files = f"{num_files} file{'s' * (num_files > 1)} can't be used" if num_files else ""
        return "; ".join(filter(None, (records, files))) + "."


def place_of(file: str | Path, row: int) -> str:
    """Return how the tables name a record: `FILE:ROW`, with the last part of the path; the file alone for row 0."""
    name = Path(file).name or str(file)
    return f"{name}:{row}" if row else name


def report_parts(report: Report) -> list[RenderableType]:
    """Return what the terminal shows: the statistics, then what is unused, what to look at, and the defects."""
    parts: list[RenderableType] = [_statistics_table(report.statistics)]
    if report.statistics["image_pairs"]:
        parts.append(_pairs_table(report.statistics))
    parts += [
        _remarks_table(title, found)
        for title, found in (
            ("Not seen by the model", report.unused),
            ("To look at", report.warnings),
            ("Defects", _grouped(report.defects)),
        )
        if found
    ]
    return [*parts, report.verdict()]


def _grouped(defects: Iterable[Defect]) -> list[Remark]:
    remarks = Remarks()
    for defect in defects:
        place = place_of(defect.file, defect.row)
        named = place if defect.id == place else f"{place} ({defect.id})"
        remarks.add(defect.reason, named, expected=defect.expected, fix=defect.fix)
    return remarks.sorted()


def _statistics_table(statistics: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="Data", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in statistics.items():
        if isinstance(value, list) or not (value or name in ("records", "records_with_defects")):
            continue
        shown = ", ".join(f"{key} {_number(one)}" for key, one in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), _shown(str(shown)))
    return table


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _pairs_table(statistics: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="Images in several sources", title_justify="left", show_header=False)
    pairs, count = statistics["image_pairs"], statistics["shared_images"]
    for pair in pairs[:_SHOWN]:
        first, second = (place_of(pair[key]["file"], pair[key]["row"]) for key in ("first", "second"))
        how = "the same image as" if pair["how"] == "the same" else "an image that looks like that of"
        table.add_row(_shown(second), _shown(f"{how} {first}"))
    if count > _SHOWN:
        table.add_row("", f"… and {count - _SHOWN} more")
    return table


def _remarks_table(title: str, remarks: Sequence[Remark]) -> Table:
    """Return a table with one row for each reason: the number of records, the reason, the first places, and the fix."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("what, where first, and what to do")
    for remark in remarks[:_SHOWN]:
        lines = [remark.reason, _places(remark)]
        lines += [f"{name}: {text}" for name, text in (("expected", remark.expected), ("fix", remark.fix)) if text]
        table.add_row(
            f"{remark.count:,}{_unit(remark)}", "\n".join(_shown(line[:_SHOWN_CHARS]) for line in lines if line)
        )
    if len(remarks) > _SHOWN:
        table.add_row("", f"… and {len(remarks) - _SHOWN} more reasons; --report FILE writes them all")
    return table


def _unit(remark: Remark) -> str:
    """Return what is counted: whole files, if the first place has no row; else records."""
    unit = "file" if remark.places and ":" not in remark.places[0] else "record"
    return f" {unit}" if remark.count == 1 else f" {unit}s"


def _places(remark: Remark) -> str:
    if not remark.places:
        return ""
    more = remark.count - len(remark.places)
    return "at " + ", ".join(remark.places) + (f" and {more:,} more" if more > 0 else "")


def _shown(text: str) -> str:
    """Return the text as a terminal can print it: half of a surrogate pair becomes its escape."""
    from rich.markup import escape

    return escape(text.encode("utf-8", "backslashreplace").decode())
