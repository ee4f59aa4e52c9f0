"""What the runs of an experiment have left so far: scores of evaluations, and figures of GRPO's training.

Everything is read from the runs' own files, so the numbers on the page can be computed again from them.
"""

from __future__ import annotations

import functools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlaa_ray.config.sections import REFLECTION_PHRASES
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.results import read_lines, read_result
from vlaa_ray.experiments.jobs import Job
from vlaa_ray.experiments.plan import ArmPlan, ExperimentPlan
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.storage.layout import RESULT, ROWS
from vlaa_ray.text.phrases import Phrases, phrase_keys

MEAN = "mean"
PHRASES = REFLECTION_PHRASES[:4]
"""The phrases of the paper's figure 7."""
_TYPES = "verifier type"
_LAST_SHARE = 0.2

Series = list[tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The held-out answers of one model: their number, mean length, and reflection phrases by phrase."""

    count: int
    mean_tokens: float
    cut_share: float
    """The share of answers that were cut at the token limit."""
    reflections: dict[str, int]

    @property
    def reflections_per_100(self) -> float:
        """Reflection phrases in 100 answers."""
        return 100 * sum(self.reflections.values()) / max(self.count, 1)


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One evaluation: percent by column, the 95% interval over questions of each benchmark, and its answers."""

    folder: Path
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    answers: Answers


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The GRPO of one arm with one seed: curves over its steps, and what it has used so far."""

    reward: Series
    tokens: Series
    """Mean completion length of each step, in tokens."""
    reflections: Series
    """Phrases of figure 7 in 100 completions of each step."""
    counts: dict[str, int]
    """Phrases of figure 7 by phrase, over all completions."""
    num_samples: int
    num_tokens: int

    def end(self, series: Series) -> float | None:
        """Return the mean over the last fifth of the steps; None without steps."""
        values = [value for _, value in series]
        return statistics.fmean(values[-max(1, round(_LAST_SHARE * len(values))) :]) if values else None


@dataclass(frozen=True)
class ArmOutcome:
    """What there is of one arm, by seed."""

    evaluated: dict[int, Evaluated] = field(default_factory=dict)
    trained: dict[int, Trained] = field(default_factory=dict)


def read_outcome(plan: ExperimentPlan) -> dict[str, ArmOutcome]:
    """Return what there is of each arm; a file that can't be read counts as not there."""
    read: dict[str, Evaluated | None] = {}
    return {name: _arm(plan, arm, read) for name, arm in plan.arms.items()}


def _arm(plan: ExperimentPlan, arm: ArmPlan, read: dict[str, Evaluated | None]) -> ArmOutcome:
    outcome = ArmOutcome()
    for seed, key in arm.evaluations.items():
        if key in plan.jobs and key not in read:
            read[key] = _evaluated(plan.jobs[key])
        if (evaluated := read.get(key)) is not None:
            outcome.evaluated[seed] = evaluated
    for seed, keys in arm.stages.items():
        jobs = [plan.jobs[key] for key in keys if key in plan.jobs]
        if trained := trained_of([(job.folder, job.grpo.rollout.group_size) for job in jobs if job.grpo]):
            outcome.trained[seed] = trained
    return outcome


def _evaluated(job: Job) -> Evaluated | None:
    if not job.finished():
        return None
    try:
        return _read_evaluation(job.folder, (job.folder / RESULT).stat().st_mtime_ns)
    except (DataError, OSError):
        return None


@functools.lru_cache(maxsize=1024)
def _read_evaluation(folder: Path, written_ns: int) -> Evaluated:
    """Return an evaluation, which is read once: `written_ns` tells a result that was written again."""
    result = read_result(folder)
    return Evaluated(
        folder=folder,
        scores=scores_of(result["benchmarks"]),
        intervals=_intervals(result["benchmarks"]),
        answers=answers_in(folder),
    )


def scores_of(benchmarks: Mapping[str, Any]) -> dict[str, float]:
    """Return the percentages of a result's `benchmarks` by column: each benchmark's headline, and their mean.

    A single set of records has a column for each verifier type instead.
    """
    headlines = {name: float(entry["scores"][entry["headline"]]["value"]) for name, entry in benchmarks.items()}
    scores = dict(headlines)
    if len(benchmarks) == 1:
        (entry,) = benchmarks.values()
        types = entry.get("categories", {}).get(_TYPES, {})
        scores = {name: float(value["value"]) for name, value in types.items()} or scores
    return {**scores, MEAN: statistics.fmean(headlines.values())}


def _intervals(benchmarks: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the interval over questions of each benchmark's headline."""
    headlines = {name: entry["scores"][entry["headline"]] for name, entry in benchmarks.items()}
    return {name: (score["low"], score["high"]) for name, score in headlines.items() if score["low"] is not None}


def answers_in(folder: Path) -> Answers:
    """Return the figures of the answers in the `rows.jsonl` of an evaluation.

    Raises DataError if it can't be read.
    """
    rows = list(read_lines(folder / ROWS))
    tokens = [row["num_tokens"] for row in rows]
    return Answers(
        count=len(rows),
        mean_tokens=statistics.fmean(tokens) if tokens else 0.0,
        cut_share=sum(row["finish_reason"] == "length" for row in rows) / max(len(rows), 1),
        reflections=_sum_counts([str(row["prediction"]) for row in rows]),
    )


def trained_of(runs: Sequence[tuple[Path, int]]) -> Trained | None:
    """Return the figures of GRPO runs, given as (folder, group size), one after another; None without any step."""
    reward: Series = []
    tokens: Series = []
    reflections: Series = []
    counts = dict.fromkeys(PHRASES, 0)
    num_samples = num_tokens = before = 0
    for folder, group_size in runs:
        if not folder.is_dir():
            continue
        run = RecordedRun.read(folder)
        reward += _shifted(run.series("reward/mean"), before)
        lengths = _shifted(run.series("completion/mean_tokens"), before)
        tokens += lengths
        groups = _shifted(run.series("groups/count"), before)
        num_samples += sum(int(count) * group_size for _, count in groups)
        num_tokens += sum(
            round(count * group_size * mean) for (_, count), (_, mean) in zip(groups, lengths, strict=False)
        )
        counted = _counted(run)
        counts = {phrase: counts[phrase] + sum(of_step[phrase] for of_step in counted.values()) for phrase in counts}
        reflections += [
            (step, 100 * sum(counted[step - before].values()) / (count * group_size))
            for step, count in groups
            if step - before in counted and count
        ]
        before = reward[-1][0] if reward else before
    if not reward:
        return None
    return Trained(
        reward=reward,
        tokens=tokens,
        reflections=reflections,
        counts=counts,
        num_samples=num_samples,
        num_tokens=num_tokens,
    )


def _shifted(series: Series, before: int) -> Series:
    return [(before + step, value) for step, value in series if step > 0]


def _counted(run: RecordedRun) -> dict[int, dict[str, int]]:
    """Return {step: {phrase: times}} of the completions of each step that was counted."""
    counted: dict[int, dict[str, int]] = {}
    for phrase, key in phrase_keys(PHRASES).items():
        for step, count in run.series(f"completion/reflection/{key}/count"):
            counted.setdefault(step, dict.fromkeys(PHRASES, 0))[phrase] = int(count)
    return counted


def _sum_counts(texts: Sequence[str]) -> dict[str, int]:
    phrases = Phrases(PHRASES)
    total: Counter[str] = sum((phrases.counts(text) for text in texts), Counter())
    return {phrase: total[key] for phrase, key in phrase_keys(PHRASES).items()}
