"""An estimate of the calls, tokens and cost of a curation, before it asks anything. It is usually too high.

It assumes that each sample passes all steps, that the first reply of each step is usable, and that each reply has the
maximum length. For a step with recorded calls, it uses their mean tokens and cost instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlaa_ray.config import CurationConfig
from vlaa_ray.curation.metadata import iterate_samples
from vlaa_ray.curation.refusals import Refusals
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.curation.steps import Call, Steps
from vlaa_ray.curation.teacher_client import MEASURES, estimated_usage
from vlaa_ray.services.call_store import Spent, Usage

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class StepEstimate:
    """The estimated total of one step; `measured_on` is the number of recorded calls that it is based on."""

    spent: Spent
    measured_on: int


def estimate(
    config: CurationConfig, recorded: Mapping[str, Spent], refusals: Refusals | None = None
) -> dict[str, StepEstimate]:
    """Return the estimate for each step. The sources are read once, and nothing is written.

    `recorded` has the totals of the recorded calls by step. `refusals` is filled with the records that can't be used.

    Raises DataError if a source can't be read, or if no record can be used; ConfigError if a template can't be used.
    """
    refusals = refusals or Refusals()
    estimates = {step: StepEstimate(Spent(), recorded.get(step, Spent()).calls) for step in STEPS}
    steps = Steps(config)
    for sample in refusals.watched(iterate_samples(config, None)):
        if sample.dropped_at or sample.use != "distill":
            continue
        for call in steps.longest_calls(sample):
            estimates[call.step].spent.add(_usage(config, call, recorded.get(call.step)))
    refusals.raise_if_all()
    return estimates


def _usage(config: CurationConfig, call: Call, recorded: Spent | None) -> Usage:
    if recorded and recorded.calls:
        count = recorded.calls
        return Usage(recorded.input_tokens // count, recorded.output_tokens // count, recorded.cost / count)
    section = getattr(config.steps, call.step)
    return estimated_usage(call, section, config.teachers[section.teacher])


def estimate_table(estimates: Mapping[str, StepEstimate]) -> Table:
    """Return the estimate by step and in total; the last column says how the tokens of a call were estimated."""
    from rich.table import Table

    table = Table(title="Estimate", title_justify="left", show_footer=True)
    total, rows = _total(estimates), []
    for step, step_estimate in estimates.items():
        num_recorded = step_estimate.measured_on
        basis = f"mean of {num_recorded:,} recorded" if num_recorded else "maximum length"
        rows.append((step, *_numbers(step_estimate.spent), basis))
    footers = ("total", *_numbers(total), "")
    for number, (title, footer) in enumerate(zip(_TITLES, footers, strict=True)):
        table.add_column(title, footer=footer, justify="right" if 0 < number < len(_TITLES) - 1 else "left")
    for row in rows:
        table.add_row(*row)
    return table


def over_budget(estimates: Mapping[str, StepEstimate], config: CurationConfig) -> list[str]:
    """Return a warning for each limit of the budget that is below the estimate."""
    total = _total(estimates)
    limits = {name: getattr(config.budget, name) for name in MEASURES}
    return [
        f"budget.{name} = {limit:,} is below the estimate of {MEASURES[name](total):,.2f}: the run may stop early"
        for name, limit in limits.items()
        if limit is not None and MEASURES[name](total) > limit
    ]


def _total(estimates: Mapping[str, StepEstimate]) -> Spent:
    total = Spent()
    for step_estimate in estimates.values():
        for name in ("calls", "input_tokens", "output_tokens", "cost"):
            setattr(total, name, getattr(total, name) + getattr(step_estimate.spent, name))
    return total


def _numbers(spent: Spent) -> tuple[str, str, str, str]:
    return f"{spent.calls:,}", f"{spent.input_tokens:,}", f"{spent.output_tokens:,}", f"{spent.cost:.2f}"


_TITLES = ("step", "calls", "input tokens", "output tokens", "cost", "tokens a call")
