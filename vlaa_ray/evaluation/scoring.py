"""Verdicts on all answers of an evaluation: by rule, then by a judge; answers to records by their verifiers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.answers import AnswerKey, StoredAnswers
from vlaa_ray.evaluation.judge import AnswerJudge, without_judge
from vlaa_ray.evaluation.questions import IS_RIGHT, AnswerVerdict, BenchmarkQuestions, QuestionSet, RecordQuestions
from vlaa_ray.evaluation.workers import for_each
from vlaa_ray.records import Completion, RewardResult
from vlaa_ray.roles import RewardRole

AnswerVerdicts = list[list[AnswerVerdict]]
"""The verdicts of a set: one list for each question, with one verdict for each sample."""
OnScored = Callable[[int], None]
_RECORDS_IN_FLIGHT = 16
_ROWS_AT_ONCE = 64  # as many as a judge may be asked at once, without holding all answers in memory


@dataclass(frozen=True, kw_only=True)
class AnswerSet:
    """The stored answers to a set of questions, and why questions got none."""

    questions: QuestionSet
    stored: StoredAnswers
    failures: dict[tuple[str, str], str]
    num_samples: int

    def predictions(self, number: int) -> list[str] | None:
        """Return the answers to a question in the order of the samples; None if it got no answer."""
        keys = [
            AnswerKey(self.questions.name, self.questions.index(number), sample) for sample in range(self.num_samples)
        ]
        answers = [self.stored.get(key) for key in keys]
        given = [answer.prediction for answer in answers if answer is not None]
        return given if len(given) == self.num_samples else None

    def unanswered(self, number: int) -> list[AnswerVerdict]:
        """Return the verdicts on a question that got no answer."""
        reason = self.failures.get((self.questions.name, self.questions.index(number)), "it was not asked")
        return [AnswerVerdict.unanswered(reason)] * self.num_samples


async def score_benchmark(
    questions: BenchmarkQuestions, answers: AnswerSet, judge: AnswerJudge | None, on_scored: OnScored
) -> AnswerVerdicts:
    """Return the verdicts by the benchmark's rules, and by the judge where the rules settle nothing."""

    def by_rule(number: int) -> tuple[list[str], list[AnswerVerdict]]:
        predictions = answers.predictions(number)
        if predictions is None:
            return [], answers.unanswered(number)
        return predictions, [questions.rule(number, prediction) for prediction in predictions]

    async def settle(number: int) -> list[AnswerVerdict]:
        predictions, verdicts = await asyncio.to_thread(by_rule, number)
        if judge is not None and predictions:
            pairs = zip(predictions, verdicts, strict=True)
            verdicts = [
                await judge.settle(questions, number, prediction, verdict) if verdict.correct is None else verdict
                for prediction, verdict in pairs
            ]
        on_scored(len(verdicts))
        return [without_judge(verdict) for verdict in verdicts] if judge is None else verdicts

    return await bounded(len(questions), settle, _ROWS_AT_ONCE)


async def score_records(
    questions: RecordQuestions, answers: AnswerSet, rewards: RewardRole, on_scored: OnScored
) -> AnswerVerdicts:
    """Return the verdicts of the records' own verifiers, from the reward actors."""

    async def score(number: int) -> list[AnswerVerdict]:
        predictions = await asyncio.to_thread(answers.predictions, number)
        verdicts = (
            answers.unanswered(number)
            if predictions is None
            else await _rewarded(questions, number, predictions, rewards)
        )
        on_scored(len(verdicts))
        return verdicts

    return await bounded(len(questions), score, _RECORDS_IN_FLIGHT)


def settled_counts(verdicts: AnswerVerdicts) -> dict[str, int]:
    """Return how many answers were settled by rule, by the judge or not at all, and how many are missing."""
    counts = Counter(
        "unanswered" if not verdict.answered else verdict.settled_by or "unsettled"
        for samples in verdicts
        for verdict in samples
    )
    return {name: counts[name] for name in ("rule", "judge", "unsettled", "unanswered")}


def unsettled_line(verdicts: AnswerVerdicts) -> str:
    """Return how many answers have no verdict, and why most of them have none; "" if all have one."""
    reasons = [
        verdict.reason for samples in verdicts for verdict in samples if verdict.answered and not verdict.settled_by
    ]
    if not reasons:
        return ""
    ((reason, times),) = Counter(reasons).most_common(1)
    often = "because" if times == len(reasons) else f"{times:,} times because"
    total = sum(map(len, verdicts))
    return f"{len(reasons):,} of {total:,} answers have no verdict and count as wrong, {often} {reason}"


async def _rewarded(
    questions: RecordQuestions, number: int, predictions: Sequence[str], rewards: RewardRole
) -> list[AnswerVerdict]:
    completions = [_completion(prediction) for prediction in predictions]
    try:
        results = await rewards.score(questions.prompt(number), completions, 1.0)
    except DataError as error:  # no answer can be judged by this gold
        return [AnswerVerdict(value=0.0, correct=None, reason=error.one_line(), settled_by="")] * len(predictions)
    return [_verdict(result) for result in results]


def _verdict(result: RewardResult) -> AnswerVerdict:
    if result.value is None or not result.valid:
        return AnswerVerdict(value=0.0, correct=None, extracted=result.extracted, reason=result.reason, settled_by="")
    correct = result.value >= IS_RIGHT
    reason = result.reason or ("" if correct else f"a reward of {result.value:g}")
    return AnswerVerdict(value=result.value, correct=correct, extracted=result.extracted, reason=reason)


async def bounded(
    count: int, score: Callable[[int], Awaitable[list[AnswerVerdict]]], num_at_once: int
) -> AnswerVerdicts:
    """Return the verdicts of the numbers below `count`, `num_at_once` of which are worked on at the same time."""
    verdicts: AnswerVerdicts = [[]] * count

    async def work(number: int) -> None:
        verdicts[number] = await score(number)

    await for_each(range(count), work, min(num_at_once, count))
    return verdicts


def _completion(text: str) -> Completion:
    """Return a stored answer as the reward role takes it; its tokens are not stored."""
    empty = np.empty(0)
    return Completion(
        text=text,
        token_ids=empty.astype(np.int32),
        rollout_logprobs=empty.astype(np.float32),
        weight_versions=(),
        finish_reason="stop",
    )
