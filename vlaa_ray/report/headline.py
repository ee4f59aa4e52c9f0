"""The headline table of a run: the held-out figures of the base model and of the trained one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlaa_ray.monitoring.names import Better, describe, types_in
from vlaa_ray.run.reader import RecordedRun

if TYPE_CHECKING:
    from rich.table import Table

NO_EVAL = "This run has no held-out evaluation yet."


_MEASURES = {
    "eval/pairs/accuracy": "accuracy on pairs",
    "eval/pairs/margin": "score margin of pairs",
    "eval/loss": "loss per token",
}
"""The labels of the held-out figures that are not rewards."""
_BENCHMARK = "eval/benchmark/"


@dataclass(frozen=True)
class Comparison:
    """One line: a label, the two values (None where one is missing), and half the 95% interval of the difference.

    `is_bounded` says that the metric lies between 0 and 1 by its nature.
    """

    name: str
    base: float | None
    trained: float | None
    margin: float | None = None
    better: Better = "higher"
    is_bounded: bool = True

    @property
    def difference(self) -> float | None:
        """The trained value minus the base value; None if one of them is missing."""
        return None if self.base is None or self.trained is None else self.trained - self.base

    @property
    def gain(self) -> float:
        """The difference as an improvement: above 0 is better, below 0 worse, and 0 if neither direction is better."""
        direction = {"higher": 1.0, "lower": -1.0, "": 0.0}[self.better]
        return direction * (self.difference or 0.0)

    @property
    def label(self) -> str:
        """The name, with the direction where lower values are better."""
        return f"{self.name} (lower is better)" if self.better == "lower" else self.name

    @property
    def is_span(self) -> bool:
        """True if both values can be drawn on a line from 0 to 1."""
        both = (self.base, self.trained)
        return self.is_bounded and all(value is not None and 0 <= value <= 1 for value in both)


@dataclass(frozen=True)
class Headline:
    """The first evaluation against the last one.

    `first_step` is 0 for the base model; both steps are None where there is no such evaluation. `subject` says what
    the lines measure: "reward", or "result" for losses, accuracies and benchmarks.
    """

    lines: tuple[Comparison, ...]
    first_step: int | None
    last_step: int | None
    subject: str

    @property
    def first_heading(self) -> str:
        """The heading of the first column of values."""
        return "base" if not self.first_step else f"step {self.first_step}"

    @property
    def last_heading(self) -> str:
        """The heading of the second column of values."""
        return f"step {self.last_step}" if self.first_step else "trained"

    @property
    def caption(self) -> str:
        """The meaning of the columns, and what is missing."""
        if not self.lines:
            return NO_EVAL
        if self.last_step is None:
            return f"Held-out {self.subject} of the base model; no trained model has been evaluated yet."
        if self.first_step:
            text = f"Held-out {self.subject} at the first evaluation (step {self.first_step}) and at the last "
            text += f"(step {self.last_step}). The base model was not evaluated."
        else:
            text = f"Held-out {self.subject} of the base model (step 0) and of the trained one (step {self.last_step})."
            text += " The base model was not evaluated." if self.first_step is None else ""
        if any(line.margin is not None for line in self.lines):
            text += " ± is a 95% interval, if the samples are independent."
        return text


def headline(run: RecordedRun) -> Headline:
    """Return the comparison: rewards (the mean first, then the verifier types), other figures, then benchmarks."""
    evaluated = [row for row in run.metrics if any(name.startswith("eval/") for name in row)]
    first = evaluated[0] if evaluated and (evaluated[0]["step"] == 0 or len(evaluated) > 1) else {}
    last = evaluated[-1] if evaluated and evaluated[-1]["step"] > 0 else {}
    present = {name for row in (first, last) for name in row}
    rewards = [
        _compare(verifier_type or "mean", f"eval/reward/{verifier_type}/".replace("//", "/"), first, last)
        for verifier_type in ("", *types_in(present, "eval/reward/{}/mean"))
    ]
    rewards = [line for line in rewards if line.base is not None or line.trained is not None]
    others = {name: label for name, label in _MEASURES.items() if name in present}
    others |= {name: name.removeprefix(_BENCHMARK) for name in sorted(present) if name.startswith(_BENCHMARK)}
    lines = [*rewards, *(_figure(label, name, first, last) for name, label in others.items())]
    first_step, last_step = (int(row["step"]) if row else None for row in (first, last))
    return Headline(tuple(lines), first_step, last_step, "reward" if rewards else "result")


def _figure(label: str, name: str, first: dict[str, float], last: dict[str, float]) -> Comparison:
    entry = describe(name)
    is_bounded = entry.unit == "share" or name.startswith(_BENCHMARK)
    return Comparison(label, first.get(name), last.get(name), better=entry.better, is_bounded=is_bounded)


def _compare(name: str, prefix: str, first: dict[str, float], last: dict[str, float]) -> Comparison:
    margin = None
    if all(row.get(prefix + "count") and prefix + "std" in row for row in (first, last)):
        margin = 1.96 * math.sqrt(sum(row[prefix + "std"] ** 2 / row[prefix + "count"] for row in (first, last)))
    better = describe(prefix + "mean").better
    return Comparison(name, first.get(prefix + "mean"), last.get(prefix + "mean"), margin, better)


def final_table(run_dir: Path) -> Table:
    """Return the headline table for the terminal; without any evaluation, a table without rows that says so."""
    from rich.table import Table
    from rich.text import Text

    result = headline(RecordedRun.read(run_dir))
    if not result.lines:
        return Table(result.caption, box=None)
    table = Table(title=f"Held-out {result.subject}", caption=result.caption, caption_justify="left")
    table.add_column("verifier type" if result.subject == "reward" else "figure")
    for heading in (result.first_heading, result.last_heading, "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in result.lines:
        style = "green" if line.gain > 0 else "red" if line.gain < 0 else ""
        cells = (Text(line.label), number(line.base), number(line.trained), Text(difference(line), style=style))
        table.add_row(*cells, style="bold" if line.name == "mean" else None, end_section=line.name == "mean")
    return table


def number(value: float | None) -> str:
    """Return the value with three decimals, or a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def difference(line: Comparison) -> str:
    """Return the signed difference, with its margin where there is one."""
    if line.difference is None:
        return "–"
    return f"{line.difference:+.3f}" + ("" if line.margin is None else f" ± {line.margin:.3f}")


def verdict(line: Comparison) -> str:
    """Return `better` or `worse`, by the metric's direction, where the difference exceeds its margin; else `same`."""
    if abs(line.gain) <= (line.margin or 0.0):
        return "same"
    return "better" if line.gain > 0 else "worse"
