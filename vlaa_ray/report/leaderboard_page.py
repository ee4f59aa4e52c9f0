"""The leaderboard page: published scores by size class, and beside them the user's own evaluations, marked as such.

`published_scores.json` holds the published numbers, each with its source and date. None of them was measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vlaa_ray.errors import DataError
from vlaa_ray.report.evaluation_folder import RecordedBenchmark, RecordedEvaluation, read_result
from vlaa_ray.report.evaluation_page import FILTERS, conditions, model_line, percent
from vlaa_ray.report.html import safe, write_page
from vlaa_ray.report.rows_viewer import cut

_FOLDER = Path(__file__).parent
_CONDITIONS = {
    "judge": "judge",
    "prompt": "prompt",
    "max_pixels": "max_pixels",
    "max_completion_tokens": "tokens of an answer",
}
_OTHER_NAMES = {"We-Math": "WeMath"}
_SHOWN_CHARS = 160


class _BoardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BoardColumn(_BoardPart):
    """A benchmark of the leaderboard: what of it the board counts, and the rows that it has."""

    key: str
    title: str
    counts: str
    num_rows: int


class SizeClass(_BoardPart):
    """A group of the leaderboard. A model belongs to it by its parameters, vision part included."""

    name: str
    min_parameters: int
    max_parameters: int


class BoardNote(_BoardPart):
    """A reason why two numbers of the leaderboard may not be comparable."""

    title: str
    text: str


class BoardSource(_BoardPart):
    """The place that a number was published in, and when."""

    text: str
    url: str = ""
    date: str = ""


class OtherMeasure(_BoardPart):
    """A published number that is not what the leaderboard counts; `what` says what it is."""

    value: float
    what: str


class PublishedModel(_BoardPart):
    """The published scores of one model, in percent; a condition that is not there is not known.

    `reported_mean` holds the lowest and the highest mean that a source gives without the six scores.
    """

    name: str
    size_class: str
    scores: dict[str, float]
    other_measures: dict[str, OtherMeasure] = {}
    reported_mean: tuple[float, float] | None = None
    source: BoardSource
    conditions: dict[str, str]
    note: str = ""


class PublishedScores(_BoardPart):
    """Everything in `published_scores.json`."""

    benchmarks: tuple[BoardColumn, ...]
    size_classes: tuple[SizeClass, ...]
    notes: tuple[BoardNote, ...]
    models: tuple[PublishedModel, ...]


@dataclass(frozen=True)
class BoardCell:
    """A score of a line, and a remark below it. `counts` is False for a number that the leaderboard does not count."""

    value: str
    remark: str = ""
    counts: bool = True


@dataclass(frozen=True)
class BoardLine:
    """A model on the leaderboard; `is_own` marks the user's own.

    `mean` is None unless all six scores are there. `mean_counts` is False if a benchmark in it lacks rows. Lines are
    ordered by `rank`, the highest first.
    """

    name: str
    is_own: bool
    cells: tuple[BoardCell, ...]
    mean: float | None
    mean_counts: bool
    reported_mean: str
    source: BoardSource
    conditions: tuple[tuple[str, str], ...]
    note: str
    rank: float


def published_scores() -> PublishedScores:
    """Return the published scores that this package carries."""
    return PublishedScores.model_validate_json((_FOLDER / "published_scores.json").read_text(encoding="utf-8"))


def write_leaderboard_page(folders: Sequence[Path], out: Path) -> Path:
    """Write the page to `out`, with the evaluations of these folders beside the published scores; return its path.

    Raises:
        DataError: a folder has no result that can be read, or its result has none of the six benchmarks.

    """
    published = published_scores()
    own = [(result, _own_line(result, folder, published)) for folder, result in _own_results(folders, published)]
    content = {
        "columns": published.benchmarks,
        "groups": [(group.name, _group(group, published, own)) for group in published.size_classes],
        "notes": published.notes,
        "num_own": len(own),
        "page_style": safe((_FOLDER / "evaluation.css").read_text(encoding="utf-8")),
    }
    return write_page(out, "leaderboard.html.jinja", content, FILTERS)


def _own_results(folders: Sequence[Path], published: PublishedScores) -> list[tuple[Path, RecordedEvaluation]]:
    results = [(folder, read_result(folder)) for folder in folders]
    for folder, result in results:
        if not _by_key(result).keys() & {column.key for column in published.benchmarks}:
            raise DataError(
                "the evaluation has no benchmark of the leaderboard",
                folder=str(folder),
                got=sorted(result.benchmarks),
                expected=[column.key for column in published.benchmarks],
                fix="evaluate the model on some of them",
            )
    return results


def _group(
    group: SizeClass, published: PublishedScores, own: list[tuple[RecordedEvaluation, BoardLine]]
) -> list[BoardLine]:
    """Return the lines of a size class, the best first; own models whose size class is not known are in each."""
    lines = [_published_line(model, published) for model in published.models if model.size_class == group.name]
    classes = {id(line): _class_of(result, published) for result, line in own}
    lines += [line for _, line in own if classes[id(line)] in ("", group.name)]
    return sorted(lines, key=lambda line: -line.rank)


def _class_of(result: RecordedEvaluation, published: PublishedScores) -> str:
    size = result.model.num_parameters
    found = [one.name for one in published.size_classes if size and one.min_parameters <= size <= one.max_parameters]
    return found[0] if found else ""


def _published_line(model: PublishedModel, published: PublishedScores) -> BoardLine:
    columns = published.benchmarks
    scores = [model.scores.get(column.key) for column in columns]
    mean = mean_of([score for score in scores if score is not None]) if None not in scores else None
    low, high = model.reported_mean or (0.0, 0.0)
    return BoardLine(
        name=model.name,
        is_own=False,
        cells=tuple(_published_cell(model, column) for column in columns),
        mean=mean,
        mean_counts=True,
        reported_mean="" if not high else percent(low) if low == high else f"{percent(low)} to {percent(high)}",
        source=model.source,
        conditions=tuple((title, model.conditions.get(key, "not known")) for key, title in _CONDITIONS.items()),
        note=model.note,
        rank=high if mean is None else mean,
    )


def mean_of(scores: Sequence[float]) -> float:
    """Return the mean of scores with one decimal, with one decimal: 63.45 becomes 63.5, as on the board."""
    exact = sum((Decimal(str(score)) for score in scores), Decimal()) / len(scores)
    return float(exact.quantize(Decimal("0.1"), ROUND_HALF_UP))


def _published_cell(model: PublishedModel, column: BoardColumn) -> BoardCell:
    if other := model.other_measures.get(column.key):
        return BoardCell(percent(other.value), other.what, counts=False)
    return BoardCell(percent(model.scores.get(column.key)))


def _own_line(result: RecordedEvaluation, folder: Path, published: PublishedScores) -> BoardLine:
    benchmarks = _by_key(result)
    known = [(title, cut(text, _SHOWN_CHARS)) for title, text in conditions(result.conditions)]
    created = "" if result.created is None else str(result.created).split("T")[0]
    cells = tuple(_own_cell(benchmarks.get(column.key), column) for column in published.benchmarks)
    no_size = "" if _class_of(result, published) else "Its size class is not known, so it stands in each."
    return BoardLine(
        name=model_line(result.model),
        is_own=True,
        cells=cells,
        mean=result.mean_of_six,
        mean_counts=all(cell.counts for cell in cells),
        reported_mean="",
        source=BoardSource(text=f"measured by you, {folder.resolve().name}/result.json", date=created),
        conditions=tuple(known),
        note=" ".join(filter(None, (_unsettled(benchmarks), no_size))),
        rank=result.mean_of_six or 0.0,  # without a mean it stands below: nothing says that it is better
    )


def _own_cell(benchmark: RecordedBenchmark | None, column: BoardColumn) -> BoardCell:
    """Return the score that counts with its interval; a benchmark of which rows are missing does not count."""
    if benchmark is None:
        return BoardCell("–")
    score = benchmark.main
    ends = "" if score.low is None or score.high is None else f"{percent(score.low)} to {percent(score.high)}"
    is_whole = benchmark.num_rows == column.num_rows
    size = "" if is_whole else f"{benchmark.num_rows:,} rows, not {column.num_rows:,}"
    return BoardCell(percent(score.value), "; ".join(filter(None, (ends, size))), counts=is_whole)


def _unsettled(benchmarks: dict[str, RecordedBenchmark]) -> str:
    parts = [
        f"{benchmark.settled.unsettled:,} on {name}"
        for name, benchmark in benchmarks.items()
        if benchmark.settled.unsettled
    ]
    return f"Answers that nothing settled, counted as wrong: {', '.join(parts)}." if parts else ""


def _by_key(result: RecordedEvaluation) -> dict[str, RecordedBenchmark]:
    return {_OTHER_NAMES.get(name, name): benchmark for name, benchmark in result.benchmarks.items()}
