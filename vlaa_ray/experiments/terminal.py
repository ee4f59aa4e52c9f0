"""The display of an experiment on the terminal: which runs are done and running, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vlaa_ray.experiments.plan import ExperimentPlan
from vlaa_ray.experiments.work import gpu_hours
from vlaa_ray.monitoring.line_display import LineDisplay
from vlaa_ray.text.durations import duration

_LINE_EVERY_S = 30.0
_NUMBERS = ("samples", "tokens", "GPU hours")
_WIDE = 110  # columns of a terminal


class ExperimentProgress(LineDisplay):
    """A context that shows the progress: a line that is redrawn on a terminal, elsewhere a line every 30 seconds."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._text = "start"
        super().__init__(_LINE_EVERY_S, console, clock)

    def update(self, done: int, total: int, running: Iterable[str], left_s: float | None) -> None:
        """Show the number of finished runs, the names of the running ones, and the seconds left."""
        left = "time left not known yet" if left_s is None else f"about {duration(left_s)} left"
        names = ", ".join(running) or "nothing"
        self._text = f"{done}/{total} runs done · running: {names} · {left}"
        self._print_if_due()

    def _line(self) -> Text:
        return Text(self._text)


def show_plan(plan: ExperimentPlan, console: Console) -> None:
    """Print what would be run: each arm with its budget, and each run with its work and its cost on GPUs."""
    console.print(_arms_table(plan))
    console.print(_jobs_table(plan, console.width))
    for name, arm in plan.arms.items():
        for problem in arm.problems:
            console.print(Text(f"{name}: {problem}", style="bold red"), soft_wrap=True)
        for path in arm.missing:
            console.print(Text(f"{name}: not on this machine: {path}"), soft_wrap=True)


def _arms_table(plan: ExperimentPlan) -> Table:
    title = "Arms, and the GRPO of each seed"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    numbers = ("prompts", "samples", "tokens")
    for column in ("arm", "stages", "seeds", *numbers):
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column in numbers)
    for name, arm in plan.arms.items():
        stages = [stage if isinstance(stage, str) else f"{stage.stage}*" for stage in arm.section.stages]
        budget = arm.budget
        work = (f"{budget.num_prompts:,}", f"{budget.num_samples:,}", f"≤ {budget.max_tokens:,}") if budget else ()
        state = "BROKEN" if arm.problems else " → ".join(stages) or "the start model"
        table.add_row(name, state, ", ".join(map(str, arm.stages)) if stages else "", *work)
    return table


def _jobs_table(plan: ExperimentPlan, width: int) -> Table:
    """Return the table of runs: GPU hours only if a run has GPUs, and the arms that need a run if there is room."""
    costs, total = _costs(plan)
    columns = ["run", "command", "state", "samples", "tokens"]
    columns += ["GPU hours"] * bool(total) + ["for"] * (width >= _WIDE)
    table = Table(title="Runs, in their order", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column, justify="right" if column in _NUMBERS else "left", no_wrap=column not in ("run", "for")
        )
    for key, job in plan.jobs.items():
        samples, tokens = job.config.num_samples, job.config.max_tokens
        cells = {
            "run": job.label,
            "command": job.config.command,
            "state": "finished" if job.finished() else "to do",
            "samples": f"{samples:,}" if samples else "",
            "tokens": f"≤ {tokens:,}" if tokens else "",
            "GPU hours": costs[key],
            "for": ", ".join(plan.users(key)),
        }
        table.add_row(*(cells[column] for column in columns))
    if total:
        table.add_row(*(("all" if column == "run" else total if column == "GPU hours" else "") for column in columns))
        table.caption = "GPU hours are estimates within a factor of two: see docs/compare.md."
    return table


def _costs(plan: ExperimentPlan) -> tuple[dict[str, str], str]:
    """Return the GPU hours of each run in words, and their sum; the sum is empty if no run has GPUs."""
    costs: dict[str, str] = {}
    hours, unknown = 0.0, False
    for key, job in plan.jobs.items():
        start = plan.arms[plan.users(key)[0]].section.start or plan.config.start_model
        cost = 0.0 if job.finished() else gpu_hours(job.config, job.training, start)
        hours, unknown = hours + (cost or 0.0), unknown or cost is None
        costs[key] = "not known" if cost is None else f"{cost:.1f}" if cost else ""
    if not hours:
        return costs, "not known" if unknown else ""
    return costs, f"{hours:.1f}" + (" and more" if unknown else "")
