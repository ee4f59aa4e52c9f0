"""The plan of an experiment: arms and seeds become jobs, shared ones once, in the order that gives answers soonest.

Nothing is started or downloaded here. A broken arm does not raise; the plan names all its problems.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlaa_ray.config import (
    AnyConfig,
    ArmSection,
    ArmStageSection,
    CurationConfig,
    EvalConfig,
    ExperimentConfig,
    GrpoConfig,
    StageSection,
    TrainingConfig,
    load_config,
)
from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import ConfigError
from vlaa_ray.experiments.budget import Budget, budget_of, budget_problems
from vlaa_ray.experiments.checks import checked, is_absent
from vlaa_ray.experiments.jobs import Job, Kind, job_key, placed
from vlaa_ray.experiments.order import in_order_of_answers
from vlaa_ray.experiments.published import is_published
from vlaa_ray.run.run_json import run_path

_NO_RUN = "run"
_PAPER_DATA = "VLAA-Thinking-GRPO-25K.json"
_SLOT = re.compile(r"\{([A-Za-z0-9][A-Za-z0-9._-]*)\}")


@dataclass(frozen=True)
class ArmPlan:
    """One arm: for each seed the keys of its stages and of its evaluation.

    `problems` say why it can't be run. `missing` are files that are not on this machine, which a run here needs.
    """

    name: str
    section: ArmSection
    stages: dict[int, tuple[str, ...]]
    evaluations: dict[int, str]
    budget: Budget | None = None
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def keys(self) -> Iterable[str]:
        """Return the keys of all its jobs."""
        return [*(key for keys in self.stages.values() for key in keys), *self.evaluations.values()]


@dataclass(frozen=True)
class ExperimentPlan:
    """All arms, and the jobs of those that can be run, in the order in which they start if there is room for one."""

    config: ExperimentConfig
    folder: Path
    runs: Path
    """The folder that the runs are in."""
    arms: dict[str, ArmPlan]
    jobs: dict[str, Job]
    evaluation: EvalConfig

    def broken(self) -> dict[str, tuple[str, ...]]:
        """Return the problems of each arm that can't be run."""
        return {name: arm.problems for name, arm in self.arms.items() if arm.problems}

    def users(self, key: str) -> list[str]:
        """Return the names of the arms that need a job; broken arms need none."""
        return [name for name, arm in self.arms.items() if not arm.problems and key in self.needed(arm)]

    def needed(self, arm: ArmPlan) -> list[str]:
        """Return the keys of all jobs that an arm needs, those before its stages included."""
        keys = dict.fromkeys(arm.keys())
        for key in list(keys):
            keys |= dict.fromkeys(self.jobs[key].needs if key in self.jobs else ())
        return list(keys)


@dataclass
class _Jobs:
    """The jobs so far, by key."""

    config: ExperimentConfig
    folder: Path
    made: dict[str, Job] = field(default_factory=dict)
    prepared: dict[str, Job] = field(default_factory=dict)

    def add(self, config: AnyConfig, kind: Kind, name: str, **more: Any) -> Job:
        needs = tuple(dict.fromkeys(more.pop("needs", ())))
        if self.config.ray.address != "local":  # all runs share the experiment's cluster
            ray = config.ray.model_copy(update={"address": self.config.ray.address})
            config = config.model_copy(update={"ray": ray})
        key = job_key(config, self.folder, needs, more.get("model", ""))
        job = Job(
            key=key, name=name, kind=kind, config=placed(config, kind, name, self.folder, key), needs=needs, **more
        )
        return self.made.setdefault(key, job)

    def filled(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the values with folders in place of {NAME}, and the keys of the jobs that make these folders."""
        needs: list[str] = []

        def fill(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: fill(part) for key, part in value.items()}
            if isinstance(value, list | tuple):
                return [fill(part) for part in value]
            return _SLOT.sub(replace, value) if isinstance(value, str) else value

        def replace(slot: re.Match[str]) -> str:
            job = self.prepared.get(slot[1])
            if job is None:
                return slot[0]  # braces of something else, such as a system prompt
            needs.append(job.key)
            return str(job.folder)

        return {key: fill(value) for key, value in values.items()}, needs


def plan_experiment(config: ExperimentConfig, only: Sequence[str] = (), *, here: bool = False) -> ExperimentPlan:
    """Return the plan. With `only`, of these arms and those that their changes refer to.

    With `here`, the runs are to start on this machine, so that an arm whose files are missing is broken.

    Raises:
        ConfigError: `only` names an arm that is not there, or the config of `prepare` or of the evaluation is wrong.

    """
    if unknown := [name for name in only if name not in config.arms]:
        raise ConfigError(f"no arm {', '.join(map(repr, unknown))}", expected=list(config.arms))
    folder = run_path(config)
    runs = _folder_of_runs(config, folder)
    jobs = _Jobs(config, runs)
    for name, section in config.prepare.items():
        curation = load_config(section.config, _texts({**section.set, "run.name": _NO_RUN}), CurationConfig)
        jobs.prepared[name] = jobs.add(curation, "prepare", name)
    values, needs = jobs.filled(config.evaluation.set)
    evaluation = load_config(config.evaluation.config, _texts({**values, "run.name": _NO_RUN}), EvalConfig)
    if not evaluation.benchmarks:
        fix = "name them under evaluation.set.benchmarks, or in its config"
        raise ConfigError("the evaluation has no benchmarks", file=config.evaluation.config, fix=fix)
    wanted = {*only, *(config.base_of(name) for name in only)}
    if here and config.ray.address == "local":
        _require_benchmarks(evaluation)
    chosen = [name for name in config.arms if not only or name in wanted]
    arms = {name: _arm(jobs, name, evaluation, tuple(needs)) for name in chosen}
    budgets = {name: arm.budget for name, arm in arms.items() if arm.budget}
    varies = {name: arm.section.varies for name, arm in arms.items()}
    for name, texts in budget_problems(budgets, varies).items():
        arms[name] = _with_problems(arms[name], texts)
    for name, arm in arms.items() if here and config.ray.address == "local" else ():
        arms[name] = _with_problems(arm, [f"not on this machine: {path}" for path in arm.missing])
    sound = {name: arm for name, arm in arms.items() if not arm.problems}
    ordered = in_order_of_answers(jobs.made, sound, config.seeds)
    return ExperimentPlan(config, folder, runs, arms, ordered, evaluation)


def _folder_of_runs(config: ExperimentConfig, folder: Path) -> Path:
    """Return the folder of the runs, which is never in a bucket: arms read each other's results and models there."""
    if config.shared_runs and is_remote(config.shared_runs):
        fix = "name a folder on this machine, or one that all nodes share"
        raise ConfigError("shared_runs is in a bucket", got=config.shared_runs, fix=fix)
    if config.shared_runs:
        return Path(config.shared_runs).absolute()
    # beside the working copy of the results, since all that is in the copy is sent to the bucket
    return folder.with_name(f"{folder.name}.runs") if is_remote(config.run.dir) else folder


def _arm(jobs: _Jobs, name: str, evaluation: EvalConfig, eval_needs: tuple[str, ...]) -> ArmPlan:
    """Return the arm's plan, and add its jobs; a problem of one seed is one of the arm."""
    section = jobs.config.arms[name]
    problems: dict[str, None] = {}
    missing: dict[str, None] = {}
    if section.paper is not None and not is_published(section.paper):
        problems[f"paper: no published row {section.paper!r}"] = None
    stages: dict[int, tuple[str, ...]] = {}
    evaluations: dict[int, str] = {}
    trained: tuple[GrpoConfig, ...] = ()
    start = section.start or jobs.config.start_model
    for seed in jobs.config.seeds:
        made: list[Job] = []
        for number, stage in enumerate(section.stages, start=1):
            try:
                job = _stage(jobs, stage, seed, made[-1] if made else None, start)
            except ConfigError as error:
                problems[f"stage {number}: {error.message.strip()}"] = None
                break
            made.append(job)
            if seed == jobs.config.seeds[0]:
                faults, absent = checked(job, start, jobs.folder)
                problems |= dict.fromkeys(f"stage {number}: {fault}" for fault in faults)
                missing |= dict.fromkeys(f"stage {number}: {path}" for path in absent)
        if len(made) < len(section.stages):
            continue
        stages[seed] = tuple(job.key for job in made)
        evaluations[seed] = _evaluation(jobs, evaluation, eval_needs, made[-1] if made else None, start).key
        trained = trained or tuple(job.grpo for job in made if job.grpo)
    if section.paper is not None and not _is_papers(start, trained):
        problems[f"paper: {section.paper} has the paper's models and data, and this arm has not"] = None
    return ArmPlan(name, section, stages, evaluations, budget_of(trained), tuple(problems), tuple(missing))


def _is_papers(start: str, trained: Sequence[GrpoConfig]) -> bool:
    """Return whether an arm can be one of the paper: its RL data by their file name, and no built-in model."""
    files = [Path(str(config.data.train)).name for config in trained]
    return not start.startswith("builtin:") and all(name == _PAPER_DATA for name in files)


def _stage(jobs: _Jobs, stage: str | ArmStageSection, seed: int, before: Job | None, start: str) -> Job:
    name, own = (stage, {}) if isinstance(stage, str) else (stage.stage, stage.set)
    section: StageSection | None = jobs.config.stages.get(name)
    if section is None:
        raise ConfigError(f"no stage {name!r}; known: {', '.join(jobs.config.stages) or 'none'}")
    values, needs = jobs.filled({**section.set, **own})
    model = str(before.planned_output) if before else start
    values |= {"run.name": _NO_RUN, "run.seed": seed, "model.path": model}
    config: TrainingConfig = load_config(section.config, _texts(values), TrainingConfig)
    if config.learns_from == "preferences":
        raise ConfigError(f"stage {name!r} trains a reward model, which answers no questions")
    weights_of = before.key if before else None
    needs = [*needs, *((before.key, *before.needs) if before else ())]
    chain = f"{before.name.rpartition('-s')[0]}.{name}" if before else name
    return jobs.add(config, "stage", f"{chain}-s{seed}", needs=needs, model=model, weights_of=weights_of)


def _evaluation(jobs: _Jobs, config: EvalConfig, needs: tuple[str, ...], last: Job | None, start: str) -> Job:
    model = config.model.model_copy(update={"path": start if last is None else str(last.planned_output)})
    own = config.model_copy(update={"model": model})
    if last is None:
        return jobs.add(own, "evaluation", "start", needs=needs, model=start)
    needs = (*needs, last.key, *last.needs)
    return jobs.add(own, "evaluation", last.name, needs=needs, model=str(last.planned_output), weights_of=last.key)


def _require_benchmarks(evaluation: EvalConfig) -> None:
    """Raise ConfigError if a file of the evaluation is not on this machine: no arm could be compared."""
    named = [section.data for section in evaluation.benchmarks]
    if missing := sorted({path for path in named if is_absent(path)}):
        message = f"the evaluation's questions are not on this machine: {', '.join(missing)}"
        raise ConfigError(message, fix="name the files under evaluation.set.benchmarks")


def _with_problems(arm: ArmPlan, texts: Iterable[str]) -> ArmPlan:
    return ArmPlan(arm.name, arm.section, arm.stages, arm.evaluations, arm.budget, (*arm.problems, *texts), arm.missing)


def _texts(values: Mapping[str, Any]) -> list[str]:
    """Return the values as overrides of a config: `key=value` with the value in JSON, which is YAML too.

    A mapping changes only the keys that it has: {"run": {"seed": 1}} is the same as {"run.seed": 1}.
    """
    return [f"{key}={json.dumps(value)}" for key, value in _leaves(values, "")]


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
