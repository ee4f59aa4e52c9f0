"""What a curation would ask for, before anything is asked: nearly always more than it then takes.

Every sample is taken to pass every step with one usable reply, and every reply to be as long as it may; a step that has
recorded calls already is reckoned with their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlaa_ray.config import CurationConfig
from vlaa_ray.curation.metadata import iterate_samples
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.curation.steps import Call, Steps
from vlaa_ray.curation.store import Spent, Usage
from vlaa_ray.curation.teacher_client import MEASURES, estimated_usage

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class StepEstimate:
    """Calls of a step in all, what they take, and on how many recorded ones that is based."""

    spent: Spent
    measured_on: int


def estimate(config: CurationConfig, recorded: Mapping[str, Spent]) -> dict[str, StepEstimate]:
    """By step. Reads the sources once, and writes nothing."""
    found = {step: StepEstimate(Spent(), recorded.get(step, Spent()).calls) for step in STEPS}
    steps = Steps(config)
    for sample in iterate_samples(config, None):
        if sample.dropped_at or sample.use != "distill":
            continue
        for call in steps.longest_calls(sample):
            one = found[call.step]
            one.spent.add(_usage(config, call, recorded.get(call.step)))
    return found


def _usage(config: CurationConfig, call: Call, known: Spent | None) -> Usage:
    if known and known.calls:
        count = known.calls
        return Usage(known.input_tokens // count, known.output_tokens // count, known.cost / count)
    section = getattr(config.steps, call.step)
    return estimated_usage(call, section, config.teachers[section.teacher])


def estimate_table(found: Mapping[str, StepEstimate]) -> Table:
    """By step and in all, and what the tokens of a call are reckoned by."""
    from rich.table import Table

    table = Table(title="Estimate", title_justify="left", show_footer=True)
    total, rows = _total(found), []
    for step, one in found.items():
        basis = f"mean of {one.measured_on:,} recorded" if one.measured_on else "as long as may be"
        rows.append((step, *_numbers(one.spent), basis))
    footers = ("total", *_numbers(total), "")
    for number, (title, footer) in enumerate(zip(_TITLES, footers, strict=True)):
        table.add_column(title, footer=footer, justify="right" if 0 < number < len(_TITLES) - 1 else "left")
    for row in rows:
        table.add_row(*row)
    return table


def over_budget(found: Mapping[str, StepEstimate], config: CurationConfig) -> list[str]:
    """Which limits of the budget the estimate is over, in words."""
    total = _total(found)
    limits = {name: getattr(config.budget, name) for name in MEASURES}
    return [
        f"budget.{name} = {limit:,} stops the run before its end, if it takes {MEASURES[name](total):,.2f} as estimated"
        for name, limit in limits.items()
        if limit is not None and MEASURES[name](total) > limit
    ]


def _total(found: Mapping[str, StepEstimate]) -> Spent:
    total = Spent()
    for one in found.values():
        for name in ("calls", "input_tokens", "output_tokens", "cost"):
            setattr(total, name, getattr(total, name) + getattr(one.spent, name))
    return total


def _numbers(spent: Spent) -> tuple[str, str, str, str]:
    return f"{spent.calls:,}", f"{spent.input_tokens:,}", f"{spent.output_tokens:,}", f"{spent.cost:.2f}"


_TITLES = ("step", "calls", "input tokens", "output tokens", "cost", "tokens a call")
