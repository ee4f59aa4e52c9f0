"""A small set of questions with known verdicts, and a sampler that answers them as a test tells it."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlaa_ray.evaluation.answers import AnswerWriter, StoredAnswers
from vlaa_ray.evaluation.asking import Asking, Sampling
from vlaa_ray.evaluation.benchmarks import Benchmark, GradedRow, Row, RowScore
from vlaa_ray.evaluation.questions import BenchmarkQuestions
from vlaa_ray.evaluation.samplers import GivenAnswer
from vlaa_ray.evaluation.scoring import AnswerSet, score_benchmark

SAMPLING = Sampling(
    model="a model",
    system_prompt=None,
    min_pixels=None,
    max_pixels=None,
    temperature=0.7,
    top_p=1.0,
    max_completion_tokens=16,
    num_samples=1,
    seed=0,
)


class Letters(Benchmark):
    """Golds are letters. "?" in an answer can't be settled by rule; "-" by nobody. Clusters are pairs of rows."""

    name = "Letters"
    kit_name = "LETTERS_MINI"

    def read(self, path: Path) -> list[Row]:
        return [Row(index=str(number), fields={"answer": "AB"[number % 2], "=x": "y"}) for number in range(8)]

    def question(self, row: Row, style: str) -> str:
        return f"Which letter has row {row.index}?"

    def score(self, fields: dict[str, Any], prediction: str) -> RowScore:
        if "?" in prediction or "-" in prediction:
            return RowScore(correct=None, reason="no letter is named", settled_by="")
        correct = prediction == fields["answer"]
        return RowScore(correct=correct, extracted=prediction, reason="" if correct else "another letter")

    def judge_messages(self, row: Row, prediction: str) -> list[dict[str, Any]] | None:
        return None if "-" in prediction else [{"role": "user", "content": f"{row.index}: {prediction}"}]

    def judge_score(self, row: Row, reply: str) -> RowScore:
        if reply not in ("A", "B"):
            return RowScore(correct=None, reason="not a letter", settled_by="")
        correct = reply == row.fields["answer"]
        return RowScore(correct=correct, extracted=reply, reason="" if correct else "wrong", settled_by="judge")

    def summary(self, graded: Sequence[GradedRow]) -> dict[str, float]:
        right = {row.row.index: row.score.correct is True for row in graded}
        pairs: dict[str, list[bool]] = {}
        for row in graded:
            pairs.setdefault(self.cluster(row.row), []).append(right[row.row.index])
        worst = [all(pair) for pair in pairs.values()]
        return {
            "overall": 100 * sum(right.values()) / len(graded),
            "worst_case": 100 * sum(worst) / len(worst),
            "odd": float(len(graded)),  # no mean over clusters
        }

    def categories(self, row: Row) -> dict[str, list[str]]:
        return {"parity": ["even" if int(row.index) % 2 == 0 else "odd"], "all": ["one", "two"]}

    def cluster(self, row: Row) -> str:
        return str(int(row.index) // 2)


def letters(num_rows: int = 8) -> BenchmarkQuestions:
    suite = Letters()
    return BenchmarkQuestions(suite, suite.read(Path())[:num_rows], "kit")


class FakeSampler:
    """Answers with `text(prompt_id, seed)`; a function that raises gives no answer. Counts the requests at once."""

    def __init__(self, text) -> None:
        self._text = text
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def answers(self, request) -> list[GivenAnswer]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            self.asked.append(request.prompt.prompt_id)
            seeds = range(request.seed, request.seed + request.num_samples)
            return [GivenAnswer(self._text(request.prompt.prompt_id, seed), "stop", 4) for seed in seeds]
        finally:
            self.at_once -= 1

    def close(self) -> None:
        pass


def by_seed(prompt_id: str, seed: int) -> str:
    """Return A or B, always the same one for a prompt and a seed."""
    return "AB"[hashlib.sha256(f"{prompt_id}/{seed}".encode()).digest()[0] % 2]


TEXTS = ["A", "B", "?1", "?2", "-", "A", "A", "B"]
"""The answers to rows 0 to 7, whose golds are A, B, A, B …: rules settle 5 rows, a judge 2 more, and nobody row 4."""


def answered(folder, texts=TEXTS, num_samples=1):
    path = folder / "answers.jsonl"
    questions = letters()
    asking = Asking(replace(SAMPLING, num_samples=num_samples), [questions], StoredAnswers(path))
    first = {questions.prompt(number).prompt_id: None for number in range(8)}

    def text(prompt_id, seed):
        first[prompt_id] = seed if first[prompt_id] is None else first[prompt_id]
        given = texts[int(prompt_id.rpartition("/")[2])]
        return given[seed - first[prompt_id]] if isinstance(given, list) else given

    with AnswerWriter(path) as writer:
        asyncio.run(asking.run(FakeSampler(text), writer, 2, lambda *_: None))
    stored = StoredAnswers(path)
    return AnswerSet(questions=questions, stored=stored, failures=asking.failures, num_samples=num_samples)


def score(answers, judge=None):
    return asyncio.run(score_benchmark(answers.questions, answers, judge, lambda _: None))
