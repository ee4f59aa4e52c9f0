"""The result of an experiment, `result.json`, made from what the runs have left so far."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import vlaa_ray
from vlaa_ray.evaluation.results import conditions_of
from vlaa_ray.experiments.analysis import Estimate, mean_interval, paired_difference, rank_agreement, relative_change
from vlaa_ray.experiments.comparisons import comparisons_of, first_grpo, kind_of, start_of, statements, table_of
from vlaa_ray.experiments.outcome import MEAN, ArmOutcome, Trained, read_outcome
from vlaa_ray.experiments.plan import ArmPlan, ExperimentPlan
from vlaa_ray.experiments.progress import JobStates
from vlaa_ray.experiments.published import BENCHMARKS, published_change, published_reflections, published_scores
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.layout import RESULT

BySeed = dict[int, float]


def write_result(plan: ExperimentPlan, states: JobStates, left_s: float | None) -> dict[str, Any]:
    """Write `result.json` into the experiment's folder, and return its content."""
    result = result_of(plan, read_outcome(plan), states, left_s)
    write_whole(plan.folder / RESULT, json.dumps(result, indent=1) + "\n")
    return json.loads(json.dumps(result))


def result_of(
    plan: ExperimentPlan, outcome: Mapping[str, ArmOutcome], states: JobStates, left_s: float | None
) -> dict[str, Any]:
    """Return the content of `result.json`."""
    arms = {name: _arm(plan, arm, outcome, states) for name, arm in plan.arms.items()}
    comparisons = comparisons_of(plan, outcome)
    waiting = states.count("waiting") + states.count("running")
    complete = all(arm["state"] == "complete" for arm in arms.values())
    return {
        "name": plan.config.run.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": vlaa_ray.__version__,
        "state": "running" if waiting else "complete" if complete else "incomplete",
        "left_s": left_s if waiting else None,
        "seeds": list(plan.config.seeds),
        "start_model": plan.config.start_model,
        "columns": _columns(outcome),
        "conditions": conditions_of(plan.evaluation, {"kind": "folder"}),
        "arms": arms,
        "comparisons": [
            {
                "arm": comparison.arm,
                "against": comparison.against,
                "difference": _numbers(comparison.difference),
                "relative_change": _numbers(comparison.relative),
            }
            for comparison in comparisons
        ],
        "agreement": agreement_of(outcome),
        "statements": statements(comparisons, len(plan.config.seeds)),
        "jobs": [_job(plan, states, key) for key in plan.jobs],
    }


def _columns(outcome: Mapping[str, ArmOutcome]) -> list[str]:
    """Return the columns of the tables, the mean last."""
    evaluated = [each for arm in outcome.values() for each in arm.evaluated.values()]
    names = dict.fromkeys(column for each in evaluated for column in each.scores if column != MEAN)
    return [*names, MEAN] if evaluated else []


def _arm(plan: ExperimentPlan, arm: ArmPlan, outcome: Mapping[str, ArmOutcome], states: JobStates) -> dict[str, Any]:
    own = outcome[arm.name]
    base_name = plan.config.base_of(arm.name)
    base = outcome.get(base_name or "", ArmOutcome())
    columns = _columns({arm.name: own})
    scores = {column: _scores(own, column) for column in columns}
    paper = arm.section.paper or ""
    published = published_scores(paper)
    asked = set(BENCHMARKS if MEAN in published else published)
    return {
        "about": arm.section.about,
        "base": base_name,
        "kind": kind_of(plan, arm),
        "table": table_of(plan, arm, first_grpo(plan)) if not arm.problems else "",
        "start": start_of(plan, arm),
        "stages": [stage if isinstance(stage, str) else stage.stage for stage in arm.section.stages],
        **_state(plan, arm, states),
        "budget": arm.budget.as_dict() if arm.budget else None,
        "used": {seed: _used(trained) for seed, trained in own.trained.items()},
        "scores": {seed: each.scores for seed, each in own.evaluated.items()},
        "question_intervals": {seed: each.intervals for seed, each in own.evaluated.items()},
        "mean": {column: _numbers(_mean(plan, arm, values)) for column, values in scores.items()},
        "difference": {
            column: _numbers(paired_difference(values, _scores(base, column))) for column, values in scores.items()
        },
        "relative_change": {
            column: _numbers(relative_change(values, _scores(base, column))) for column, values in scores.items()
        },
        "answers": {seed: _answers(own, seed) for seed in own.evaluated},
        "training": {seed: _training(trained) for seed, trained in own.trained.items()},
        "curves": {seed: _curves(trained) for seed, trained in own.trained.items()},
        "evaluations": {seed: os.path.relpath(each.folder, plan.folder) for seed, each in own.evaluated.items()},
        "paper": {
            "row": paper,
            "scores": dict(published) if asked <= set(columns) else {},
            "relative_change": dict(published_change(paper)),
            "reflections": dict(published_reflections(paper)),
        },
    }


def _mean(plan: ExperimentPlan, arm: ArmPlan, values: BySeed) -> Estimate | None:
    """Return the mean over seeds; an arm without stages is one model, whatever the seed, and has no interval."""
    return mean_interval(list(values.values())[:1] if not arm.section.stages else list(values.values()))


def _scores(outcome: ArmOutcome, column: str) -> BySeed:
    return {seed: each.scores[column] for seed, each in outcome.evaluated.items() if column in each.scores}


def _state(plan: ExperimentPlan, arm: ArmPlan, states: JobStates) -> dict[str, Any]:
    """Return the arm's state (broken, failed, running, waiting or complete) and its problems."""
    if arm.problems:
        return {"state": "broken", "problems": list(arm.problems)}
    needed = plan.needed(arm)
    known = [states.states[key] for key in needed]
    causes = [states.causes[key] for key in needed if key in states.causes]
    if causes:
        return {"state": "failed", "problems": list(dict.fromkeys(causes))}
    done = all(state == "finished" for state in known)
    started = any(state in ("running", "finished") for state in known)
    return {"state": "complete" if done else "running" if started else "waiting", "problems": []}


def _used(trained: Trained) -> dict[str, int]:
    return {"samples": trained.num_samples, "tokens": trained.num_tokens}


def _answers(outcome: ArmOutcome, seed: int) -> dict[str, Any]:
    answers = outcome.evaluated[seed].answers
    return {
        "count": answers.count,
        "mean_tokens": answers.mean_tokens,
        "cut_share": answers.cut_share,
        "reflections": answers.reflections,
        "reflections_per_100": answers.reflections_per_100,
    }


def _training(trained: Trained) -> dict[str, Any]:
    return {
        "reward_start": trained.reward[0][1],
        "reward_end": trained.end(trained.reward),
        "tokens_end": trained.end(trained.tokens),
        "reflections_end": trained.end(trained.reflections),
        "reflections": trained.counts,
        "num_samples": trained.num_samples,
    }


def _curves(trained: Trained) -> dict[str, list[tuple[int, float]]]:
    return {"reward": trained.reward, "tokens": trained.tokens, "reflections": trained.reflections}


def agreement_of(outcome: Mapping[str, ArmOutcome]) -> dict[str, Any]:
    """Return Kendall's tau of five figures against the mean score; a pair is one trained model.

    The figures of training are those of the last fifth of GRPO's steps, those of held-out answers of all models.
    """
    figures: dict[str, Callable[[ArmOutcome, int], float | None]] = {
        "training reward": lambda arm, seed: _end(arm, seed, "reward"),
        "training completion length": lambda arm, seed: _end(arm, seed, "tokens"),
        "training reflection phrases": lambda arm, seed: _end(arm, seed, "reflections"),
        "held-out answer length": lambda arm, seed: arm.evaluated[seed].answers.mean_tokens,
        "held-out reflection phrases": lambda arm, seed: arm.evaluated[seed].answers.reflections_per_100,
    }
    models = {str(each.folder): (arm, seed) for arm in outcome.values() for seed, each in arm.evaluated.items()}
    agreement = {}
    for name, figure in figures.items():
        pairs = [
            (value, arm.evaluated[seed].scores[MEAN])
            for arm, seed in models.values()
            if (value := figure(arm, seed)) is not None
        ]
        found = rank_agreement([value for value, _ in pairs], [score for _, score in pairs])
        agreement[name] = found.as_dict() if found else None
    return agreement


def _end(arm: ArmOutcome, seed: int, name: str) -> float | None:
    trained = arm.trained.get(seed)
    return trained.end(_curves(trained)[name]) if trained else None


def _job(plan: ExperimentPlan, states: JobStates, key: str) -> dict[str, Any]:
    job = plan.jobs[key]
    return {
        "run": f"{job.name}-{key}",
        "command": job.config.command,
        "folder": os.path.relpath(job.folder, plan.folder),
        "state": states.states[key],
        "cause": states.causes.get(key, ""),
        "arms": plan.users(key),
    }


def _numbers(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate.as_dict() if estimate else None
