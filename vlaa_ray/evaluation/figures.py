"""The figures of a set of questions from its verdicts: scores with intervals, categories, pass@k, majority.

All values are in percent. Questions that are not settled, or have no answer, count as wrong and stay in every
denominator.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vlaa_ray.evaluation import benchmarks
from vlaa_ray.evaluation.questions import AnswerVerdict, QuestionSet
from vlaa_ray.evaluation.scoring import AnswerVerdicts, settled_counts
from vlaa_ray.evaluation.statistics import counted_ks, interval, majority_value, pass_at_k

_SAME = 1e-6  # percent


@dataclass(frozen=True, kw_only=True)
class ClusterValues:
    """The part of each unit in the figures: what intervals are drawn from, and what two models are compared by.

    A figure is here only if it is the mean of its units' values, weighted by `weights`.
    """

    names: tuple[str, ...]
    values: dict[str, list[float]]
    """The value of each unit, by the name of the figure."""
    weights: dict[str, list[float]]
    """The share of each unit in the mean, by the name of the figure: the number of its questions, or 1."""


def mean_summary(questions: QuestionSet, numbers: Sequence[int], verdicts: AnswerVerdicts) -> dict[str, float]:
    """Return the figures of these questions: the mean over the samples of each sample's own summary."""
    num_samples = len(verdicts[numbers[0]])
    parts = [
        questions.summary(numbers, [verdicts[number][sample] for number in numbers]) for sample in range(num_samples)
    ]
    return {key: statistics.fmean(part[key] for part in parts) for key in parts[0]}


def cluster_values(questions: QuestionSet, verdicts: AnswerVerdicts, scores: dict[str, float]) -> ClusterValues:
    """Return the values of the units of all figures in `scores` that are a mean over units."""
    clusters: dict[str, list[int]] = {}
    for number in range(len(questions)):
        clusters.setdefault(questions.cluster(number), []).append(number)
    with _silent_benchmarks():  # what they say of single units was said of the whole
        parts = [mean_summary(questions, numbers, verdicts) for numbers in clusters.values()]
    sizes = [float(len(numbers)) for numbers in clusters.values()]
    values, weights = {}, {}
    for key, score in scores.items():
        if not all(key in part for part in parts):
            continue
        of_key = [part[key] for part in parts]
        for shares in (sizes, [1.0] * len(sizes)):
            mean = sum(value * share for value, share in zip(of_key, shares, strict=True)) / sum(shares)
            if abs(mean - score) < _SAME:
                values[key], weights[key] = of_key, shares
                break
    return ClusterValues(names=tuple(clusters), values=values, weights=weights)


@contextmanager
def _silent_benchmarks() -> Iterator[None]:
    logger = logging.getLogger(benchmarks.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def figures_of(questions: QuestionSet, verdicts: AnswerVerdicts) -> tuple[dict[str, Any], ClusterValues]:
    """Return (the entry of `benchmarks` in `result.json`, the values of the units)."""
    numbers = range(len(questions))
    num_samples = len(verdicts[0])
    scores = mean_summary(questions, numbers, verdicts)
    clusters = cluster_values(questions, verdicts, scores)
    entry: dict[str, Any] = {
        "num_rows": len(questions),
        "num_samples": num_samples,
        "headline": questions.headline,
        "settled": settled_counts(verdicts),
        "scores": {key: _with_interval(key, value, clusters) for key, value in scores.items()},
        "categories": _categories(questions, verdicts),
    }
    if num_samples > 1:
        right = [sum(verdict.correct is True for verdict in samples) for samples in verdicts]
        entry["pass_at_k"] = {
            str(k): 100 * statistics.fmean(pass_at_k(num_samples, count, k) for count in right)
            for k in counted_ks(num_samples)
        }
        entry["majority"] = 100 * statistics.fmean(map(_majority, verdicts))
    return entry, clusters


def _with_interval(key: str, value: float, clusters: ClusterValues) -> dict[str, float | None]:
    """Return value, low and high; low and high are None for a figure that is no mean over units."""
    if key not in clusters.values:
        return {"value": value, "low": None, "high": None}
    low, high = interval(clusters.values[key], clusters.weights[key])
    return {"value": value, "low": low, "high": high}


def _majority(samples: Sequence[AnswerVerdict]) -> float:
    return majority_value([verdict.extracted for verdict in samples], [verdict.value for verdict in samples])


def _categories(questions: QuestionSet, verdicts: AnswerVerdicts) -> dict[str, dict[str, dict[str, float]]]:
    """Return {category: {label: {"value", "num_rows"}}}; a question with several labels counts under each."""
    values: dict[str, dict[str, list[float]]] = {}
    for number, samples in enumerate(verdicts):
        mean = 100 * statistics.fmean(verdict.value for verdict in samples)
        for category, labels in questions.categories(number).items():
            for label in labels:
                values.setdefault(category, {}).setdefault(label, []).append(mean)
    return {
        category: {
            label: {"value": statistics.fmean(means), "num_rows": len(means)} for label, means in sorted(labels.items())
        }
        for category, labels in values.items()
    }
