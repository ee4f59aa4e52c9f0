"""The table that a run is for: held-out reward of the base model against the trained one, by verifier type."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlaa_ray.monitoring.names import types_in
from vlaa_ray.run.reader import RecordedRun

if TYPE_CHECKING:
    from rich.table import Table

NO_EVAL = "This run has no held-out evaluation yet."


@dataclass(frozen=True)
class Comparison:
    """One line: a name, the two values (None where there is none), and half the 95% interval of the difference."""

    name: str
    base: float | None
    trained: float | None
    margin: float | None = None

    @property
    def difference(self) -> float | None:
        return None if self.base is None or self.trained is None else self.trained - self.base


@dataclass(frozen=True)
class Headline:
    """Base (step 0) against trained (`last_step`, the last evaluated one; None before there is one after step 0)."""

    lines: tuple[Comparison, ...]
    last_step: int | None

    @property
    def caption(self) -> str:
        """What the columns are, and what is missing."""
        if not self.lines:
            return NO_EVAL
        if self.last_step is None:
            return "Held-out reward of the base model; no trained model has been evaluated yet."
        text = f"Held-out reward of the base model (step 0) and of the trained one (step {self.last_step})."
        if all(line.base is None for line in self.lines):
            text += " The base model was not evaluated."
        if any(line.margin is not None for line in self.lines):
            text += " ± is a 95% interval that takes the samples as independent."
        return text


def headline(run: RecordedRun) -> Headline:
    """The comparison lines: the mean first, then the verifier types, then the benchmarks."""
    evaluated = [row for row in run.metrics if any(name.startswith("eval/") for name in row)]
    base = next((row for row in evaluated if row["step"] == 0), {})
    last = evaluated[-1] if evaluated and evaluated[-1]["step"] > 0 else {}
    present = {name for row in (base, last) for name, value in row.items() if value is not None}
    lines = [
        _compare(kind or "mean", f"eval/reward/{kind}/".replace("//", "/"), base, last)
        for kind in ("", *types_in(present, "eval/reward/{}/mean"))
    ]
    benchmarks = sorted(name for name in present if name.startswith("eval/") and name.count("/") == 1)
    lines += [Comparison(name.removeprefix("eval/"), base.get(name), last.get(name)) for name in benchmarks]
    lines = [line for line in lines if line.base is not None or line.trained is not None]
    return Headline(tuple(lines), int(last["step"]) if last else None)


def _compare(name: str, prefix: str, base: dict[str, float], last: dict[str, float]) -> Comparison:
    margin = None
    if all(row.get(prefix + "count") and prefix + "std" in row for row in (base, last)):
        margin = 1.96 * math.sqrt(sum(row[prefix + "std"] ** 2 / row[prefix + "count"] for row in (base, last)))
    return Comparison(name, base.get(prefix + "mean"), last.get(prefix + "mean"), margin)


def final_table(run_dir: Path) -> Table:
    """The headline table for the terminal; without any evaluation a table of no rows that says so."""
    from rich.table import Table
    from rich.text import Text

    result = headline(RecordedRun.read(run_dir))
    if not result.lines:
        return Table(result.caption, box=None)
    table = Table(title="Held-out reward", caption=result.caption, caption_justify="left")
    table.add_column("verifier type")
    for heading in ("base", "trained", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in result.lines:
        style = (
            "" if line.difference is None else "green" if line.difference > 0 else "red" if line.difference < 0 else ""
        )
        cells = (Text(line.name), number(line.base), number(line.trained), Text(difference(line), style=style))
        table.add_row(*cells, style="bold" if line.name == "mean" else None, end_section=line.name == "mean")
    return table


def number(value: float | None) -> str:
    """Three decimals, or a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def difference(line: Comparison) -> str:
    """The signed difference, with its margin where there is one."""
    if line.difference is None:
        return "–"
    return f"{line.difference:+.3f}" + ("" if line.margin is None else f" ± {line.margin:.3f}")


def verdict(line: Comparison) -> str:
    """`better` or `worse` where the difference is larger than its margin, else `same`."""
    margin = line.margin or 0.0
    if line.difference is None or abs(line.difference) <= margin:
        return "same"
    return "better" if line.difference > 0 else "worse"
