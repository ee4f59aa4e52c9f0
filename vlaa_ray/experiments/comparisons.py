"""What is compared with what: the kinds of arms, the tables of the paper that they belong in, and short statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vlaa_ray.config import TrainingConfig
from vlaa_ray.experiments.analysis import Estimate, paired_difference, relative_change
from vlaa_ray.experiments.jobs import shown_keys
from vlaa_ray.experiments.outcome import MEAN, ArmOutcome
from vlaa_ray.experiments.plan import ArmPlan, ExperimentPlan

ArmKind = Literal["start", "sft", "grpo", "sft_grpo"]
_REWARDS = ("rewards.", "data.verifier_types")
_SCHEDULES = ("learner.optim.", "grpo.kl.", "grpo.preset")


@dataclass(frozen=True)
class ArmComparison:
    """An arm against another one, paired by seed: the difference of the mean score in points and in percent of the
    other's score. None where it is not known.
    """

    arm: str
    against: str
    difference: Estimate | None
    relative: Estimate | None = None


def kind_of(plan: ExperimentPlan, arm: ArmPlan) -> ArmKind:
    """Return what an arm is made of, by its stages."""
    first = next(iter(arm.stages.values()), ())
    jobs = [plan.jobs[key] for key in first if key in plan.jobs]
    with_grpo = any(job.grpo for job in jobs)
    with_sft = any(job.training and not job.grpo for job in jobs)
    return "sft_grpo" if with_grpo and with_sft else "grpo" if with_grpo else "sft" if with_sft else "start"


def table_of(plan: ExperimentPlan, arm: ArmPlan, reference: ArmPlan | None) -> str:
    """Return the table of the paper that has arms like this one: `table2` to `table6`, or `other`.

    GRPO arms belong to table 5 if they differ from the `reference`, the first arm with GRPO alone, only in rewards or
    verifier types; to table 6 if they differ only in learning rates or KL.
    """
    kind = kind_of(plan, arm)
    if kind in ("start", "sft"):
        return "table2" if kind == "sft" else "table4"
    if kind == "sft_grpo":
        return "table3"
    if reference is None or reference.name == arm.name:
        return "table4"
    changed = _changed(_grpo(plan, arm), _grpo(plan, reference))
    if changed and all(key.startswith(_REWARDS) for key in changed):
        return "table5"
    if changed and all(key.startswith(_SCHEDULES) for key in changed):
        return "table6"
    return "table4" if not changed else "other"


def first_grpo(plan: ExperimentPlan, start: str | None = None) -> ArmPlan | None:
    """Return the first sound arm of GRPO alone, from this start model if one is given; None without any."""
    for arm in plan.arms.values():
        if not arm.problems and kind_of(plan, arm) == "grpo" and start in (None, start_of(plan, arm)):
            return arm
    return None


def start_of(plan: ExperimentPlan, arm: ArmPlan) -> str:
    """Return the model that an arm starts from."""
    return arm.section.start or plan.config.start_model


def comparisons_of(plan: ExperimentPlan, outcome: Mapping[str, ArmOutcome]) -> list[ArmComparison]:
    """Return each arm against its base arm, and each SFT → GRPO arm against GRPO alone from the same model."""
    pairs: list[tuple[str, str]] = []
    for name, arm in plan.arms.items():
        if arm.problems:
            continue
        base = plan.config.base_of(name)
        if base is not None and base in outcome and name != base:
            pairs.append((name, base))
        alone = first_grpo(plan, start_of(plan, arm)) if kind_of(plan, arm) == "sft_grpo" else None
        if alone is not None:
            pairs.append((name, alone.name))
    return [_compared(outcome, name, against) for name, against in pairs]


def _compared(outcome: Mapping[str, ArmOutcome], name: str, against: str) -> ArmComparison:
    values, reference = means(outcome[name]), means(outcome[against])
    return ArmComparison(name, against, paired_difference(values, reference), relative_change(values, reference))


def means(outcome: ArmOutcome) -> dict[int, float]:
    """Return the mean score of each seed, in percent."""
    return {seed: evaluated.scores[MEAN] for seed, evaluated in outcome.evaluated.items()}


def statements(comparisons: Sequence[ArmComparison], num_seeds: int) -> list[str]:
    """Return in words what the intervals allow one to say, and no more."""
    lines = []
    known = [comparison for comparison in comparisons if comparison.difference is not None]
    for comparison in known:
        difference = comparison.difference
        assert difference is not None
        pair = f"{comparison.arm} scores {abs(difference.value):.1f} points"
        if difference.low is None or difference.high is None:
            side = "more" if difference.value > 0 else "less"
            text = f"With one seed, {pair} {side} than {comparison.against}"
            lines.append(f"{text}; how much of that is chance is not known.")
            continue
        span = f"95% interval {difference.low:+.1f} to {difference.high:+.1f}, {difference.count} seeds"
        if difference.sign:
            lines.append(f"{pair} {'more' if difference.sign > 0 else 'less'} than {comparison.against} ({span}).")
        else:
            text = f"No difference between {comparison.arm} and {comparison.against} is shown: {difference.value:+.1f}"
            lines.append(f"{text} points ({span}).")
    if len(known) > 1 and num_seeds > 1:
        lines.append(
            f"These are {len(known)} comparisons, each with an interval of its own: about one in 20 intervals misses "
            "the true difference, and nothing is corrected for that."
        )
    if known:
        lines.append(
            "The intervals are over training seeds. They hold for these models, data and steps, and say nothing about "
            "others."
        )
    return lines


def _grpo(plan: ExperimentPlan, arm: ArmPlan) -> TrainingConfig | None:
    first = next(iter(arm.stages.values()), ())
    return next((plan.jobs[key].training for key in first if key in plan.jobs and plan.jobs[key].grpo), None)


def _changed(one: TrainingConfig | None, other: TrainingConfig | None) -> list[str]:
    if one is None or other is None:
        return []
    first, second = shown_keys(one), shown_keys(other)
    return [key for key in {**first, **second} if first.get(key) != second.get(key)]
