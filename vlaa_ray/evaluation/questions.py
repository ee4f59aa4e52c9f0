"""Questions that are asked and summed up together: the rows of a benchmark, or records with verifiers.

questions = open_questions(section, "kit", fetch)
questions.prompt(0)                         -> the Prompt of the first row
questions.summary([0, 1], verdicts)         -> {"overall": 50.0}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlaa_ray.config import BenchmarkSection, DataSection, FetchSection, Style
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks import Benchmark, GradedRow, Row, RowScore, benchmark
from vlaa_ray.records import VERIFIER_TYPES, Defect, ImageRef, Prompt

SettledBy = Literal["rule", "judge", ""]
IS_RIGHT = 0.5
"""The reward from which an answer to a record counts as right; for boxes that is the usual IoU of 0.5."""


@dataclass(frozen=True, kw_only=True)
class AnswerVerdict:
    """What an answer is worth, in [0, 1], and who says so. A verdict that is not settled is worth 0."""

    value: float
    correct: bool | None
    """None if neither a rule nor a judge has settled it."""
    extracted: str | None = None
    reason: str = ""
    """Why the answer is not right, or why it is not settled."""
    settled_by: SettledBy = "rule"
    answered: bool = True
    """False if the model gave no answer."""

    @classmethod
    def of(cls, score: RowScore) -> AnswerVerdict:
        """Return the verdict of a benchmark's rule or judge."""
        settled_by: SettledBy = "" if score.correct is None else score.settled_by
        return cls(
            value=float(score.correct is True),
            correct=score.correct,
            extracted=score.extracted,
            reason=score.reason,
            settled_by=settled_by,
        )

    @classmethod
    def unanswered(cls, reason: str) -> AnswerVerdict:
        """Return the verdict on a question to which the model gave no answer."""
        return cls(value=0.0, correct=None, reason=f"no answer: {reason}", settled_by="", answered=False)


class QuestionSet(ABC):
    """Questions with a common name, numbered from 0."""

    name: str
    headline: str
    """The key of `summary` that tables show first."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def index(self, number: int) -> str:
        """Return the name of a question, unique in the set."""

    @abstractmethod
    def prompt(self, number: int) -> Prompt:
        """Return what the model is asked."""

    @abstractmethod
    def images(self, number: int) -> tuple[ImageRef, ...]:
        """Return the pictures of a question."""

    @abstractmethod
    def gold(self, number: int) -> str:
        """Return the right answer as text."""

    @abstractmethod
    def categories(self, number: int) -> Mapping[str, list[str]]:
        """Return the labels of a question by the name of the category."""

    @abstractmethod
    def cluster(self, number: int) -> str:
        """Return the unit that an interval draws as a whole."""

    @abstractmethod
    def summary(self, numbers: Sequence[int], verdicts: Sequence[AnswerVerdict]) -> dict[str, float]:
        """Return the figures of these questions in percent, by name; one verdict for each question."""


class BenchmarkQuestions(QuestionSet):
    """The rows of one of the six benchmarks."""

    def __init__(self, suite: Benchmark, rows: Sequence[Row], style: Style, name: str = "") -> None:
        self.suite, self.rows = suite, rows
        self.name, self.headline = name or suite.name, suite.headline
        self._style = style

    def __len__(self) -> int:
        return len(self.rows)

    def index(self, number: int) -> str:
        """See `QuestionSet`."""
        return self.rows[number].index

    def prompt(self, number: int) -> Prompt:
        """See `QuestionSet`."""
        row = self.rows[number]
        return Prompt(
            prompt_id=f"{self.suite.name}/{row.index}",
            question=self.suite.question(row, self._style),
            gold=self.gold(number),
            verifier_type="text",
            source=self.suite.name,
            images=row.images,
        )

    def images(self, number: int) -> tuple[ImageRef, ...]:
        """See `QuestionSet`."""
        return self.rows[number].images

    def gold(self, number: int) -> str:
        """See `QuestionSet`."""
        return str(self.rows[number].fields.get("answer", ""))

    def categories(self, number: int) -> Mapping[str, list[str]]:
        """See `QuestionSet`."""
        return self.suite.categories(self.rows[number])

    def cluster(self, number: int) -> str:
        """See `QuestionSet`."""
        return self.suite.cluster(self.rows[number])

    def summary(self, numbers: Sequence[int], verdicts: Sequence[AnswerVerdict]) -> dict[str, float]:
        """See `QuestionSet`."""
        graded = [
            GradedRow(row=self.rows[number], score=_score(verdict))
            for number, verdict in zip(numbers, verdicts, strict=True)
        ]
        return self.suite.summary(graded)

    def rule(self, number: int, prediction: str) -> AnswerVerdict:
        """Return the verdict of the benchmark's rules on one prediction.

        Raises DataError if the row's gold can't be read.
        """
        return AnswerVerdict.of(self.suite.score(self.rows[number].fields, prediction))


class RecordQuestions(QuestionSet):
    """Records in any format that `vlaa-ray data check` reads, or built-in data; their verifiers score the answers."""

    headline = "reward"

    def __init__(self, name: str, prompts: Sequence[Prompt], defects: Sequence[Defect] = ()) -> None:
        self.name, self.defects = name, defects
        self._prompts = prompts
        seen: dict[str, int] = {}
        self._indices = []
        for number in range(len(prompts)):
            prompt_id = prompts[number].prompt_id
            count = seen[prompt_id] = seen.get(prompt_id, 0) + 1
            self._indices.append(prompt_id if count == 1 else f"{prompt_id}#{count}")

    def __len__(self) -> int:
        return len(self._prompts)

    def index(self, number: int) -> str:
        """See `QuestionSet`."""
        return self._indices[number]

    def prompt(self, number: int) -> Prompt:
        """See `QuestionSet`."""
        return self._prompts[number]

    def images(self, number: int) -> tuple[ImageRef, ...]:
        """See `QuestionSet`."""
        return self._prompts[number].images

    def gold(self, number: int) -> str:
        """See `QuestionSet`."""
        return self._prompts[number].gold_text

    def categories(self, number: int) -> Mapping[str, list[str]]:
        """See `QuestionSet`."""
        prompt = self._prompts[number]
        return {"verifier type": [prompt.verifier_type], "source": [prompt.source]}

    def cluster(self, number: int) -> str:
        """See `QuestionSet`."""
        return self._indices[number]

    def summary(self, numbers: Sequence[int], verdicts: Sequence[AnswerVerdict]) -> dict[str, float]:
        """Return `reward`, the mean reward, and `accuracy`, the share of rewards of 0.5 or more, both in percent."""
        count = max(len(verdicts), 1)
        rewards = sum(verdict.value for verdict in verdicts)
        right = sum(verdict.correct is True for verdict in verdicts)
        return {"reward": 100 * rewards / count, "accuracy": 100 * right / count}


def open_questions(section: BenchmarkSection, style: Style, fetch: FetchSection | None = None) -> QuestionSet:
    """Return the questions of a benchmark's files or of a source of records.

    Raises:
        ConfigError: there is no benchmark of this name.
        DataError: a file can't be read, a row of a benchmark can't be used, or no record is left.

    """
    return _open_records(section, fetch or FetchSection()) if section.records else open_benchmark(section, style)


def open_benchmark(section: BenchmarkSection, style: Style = "kit") -> BenchmarkQuestions:
    """Return the questions of a benchmark's files.

    Raises:
        ConfigError: there is no benchmark of this name.
        DataError: a file can't be read, or a row can't be used.

    """
    suite = benchmark(section.name)
    rows = suite.read(Path(section.data))
    if not rows:
        raise DataError("the benchmark's file holds no row", file=section.data)
    return BenchmarkQuestions(suite, rows[: section.num_rows], style)


def _open_records(section: BenchmarkSection, fetch: FetchSection) -> RecordQuestions:
    from vlaa_ray.data.dataset import open_dataset

    data = DataSection(image_root=section.image_root, verifier_type=section.verifier_type, fetch=fetch)
    defects: list[Defect] = []
    prompts = open_dataset(section.data, data, section.num_rows, VERIFIER_TYPES, defects)
    return RecordQuestions(section.name, prompts, defects)


def _score(verdict: AnswerVerdict) -> RowScore:
    return RowScore(
        correct=verdict.correct, extracted=verdict.extracted, reason=verdict.reason, settled_by=verdict.settled_by
    )
