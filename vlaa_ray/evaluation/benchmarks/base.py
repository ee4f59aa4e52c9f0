"""What a benchmark is to the commands that ask, score and sum up: its rows, questions, rules, judge and summary.

For example:

    suite = benchmark("MathVista")
    rows = suite.read(Path("MathVista_MINI.tsv"))
    suite.question(rows[0], "kit")               -> the text that a model is asked, with <image> at its place
    suite.score(rows[0].fields, "It is (B).")    -> RowScore(correct=True, extracted="B", …)

A rule that can't settle a row says so (`correct=None`); then a judge may. Nothing here is drawn at random, and no text
of a model is run as code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from vlaa_ray.records import ImageRef

STYLES = ("kit", "paper")
"""The prompt styles: the wording of VLMEvalKit, and the paper's, which asks for the answer in the model's own tags."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """One question of a benchmark."""

    index: str
    """The name of the row, unique in its benchmark."""
    fields: dict[str, Any]
    """The row's columns without its pictures, under the names of VLMEvalKit's columns."""
    images: tuple[ImageRef, ...] = ()


Row = BenchmarkRow
"""The short name of a benchmark's row, for the code that deals with benchmarks alone."""


@dataclass(frozen=True, kw_only=True)
class RowScore:
    """The verdict on one answer. `correct` is None if neither a rule nor a judge has settled it."""

    correct: bool | None
    extracted: str | None = None
    """The answer that was read in the prediction; None if none was found."""
    reason: str = ""
    """Why the answer is wrong, or why it is not settled; empty only if it is correct."""
    settled_by: Literal["rule", "judge", ""] = "rule"
    """Who settled the row; empty while `correct` is None."""


@dataclass(frozen=True, kw_only=True)
class GradedRow:
    """A row and the verdict on its answer, as summaries take them."""

    row: Row
    score: RowScore


class Benchmark(ABC):
    """A benchmark: it reads its files, words its questions, scores answers and sums the verdicts up."""

    name: ClassVar[str]
    """The name in commands, files and tables, such as `MathVista`."""
    kit_name: ClassVar[str]
    """VLMEvalKit's name of the data set, such as `MathVista_MINI`."""
    headline: ClassVar[str] = "overall"
    """The key of `summary` that the leaderboard counts."""

    @abstractmethod
    def read(self, path: Path) -> list[Row]:
        """Return the rows of VLMEvalKit's TSV file or of the official file, in the file's order.

        `path` is the file, or a folder that holds it under its usual name.

        Raises DataError, with file and row, for a row that can't be used, such as one without a picture, and for an
        index that occurs twice. No row is left out in silence.
        """

    @abstractmethod
    def question(self, row: Row, style: str) -> str:
        """Return the text that a model is asked, with `<image>` at the place of each picture.

        `style` is one of STYLES. Raises ConfigError for another one.
        """

    @abstractmethod
    def score(self, fields: dict[str, Any], prediction: str) -> RowScore:
        """Return the verdict of the rules on one prediction; the same for the same texts.

        A row whose gold can't be read is not settled, and the reason says so. No text makes this raise.
        """

    @abstractmethod
    def judge_messages(self, row: Row, prediction: str) -> list[dict[str, Any]] | None:
        """Return what to ask a judge about a prediction, as chat messages of text alone; None if no judge can help."""

    @abstractmethod
    def judge_score(self, row: Row, reply: str) -> RowScore:
        """Return the verdict that a judge's reply states. `correct` is None if the reply can't be used."""

    @abstractmethod
    def summary(self, graded: Sequence[GradedRow]) -> dict[str, float]:
        """Return the benchmark's figures in percent, with the key `overall`.

        Rows that are not settled count as wrong and stay in the denominator.
        """

    @abstractmethod
    def categories(self, row: Row) -> dict[str, list[str]]:
        """Return the row's labels by the name of the category, such as {"task": ["geometry problem solving"]}."""

    def cluster(self, row: Row) -> str:
        """Return the name of the unit that an interval draws as a whole: here the row itself."""
        return row.index
