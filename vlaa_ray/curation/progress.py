"""The progress of a curation by step: live tables on a terminal, otherwise a line every 10 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vlaa_ray.curation.counts import Counts, Flow, reasons_table
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.text.durations import duration

_LINE_EVERY_S, _STEPS_EVERY_S = 10.0, 60.0
_WINDOW_S, _LEAST_S = 60.0, 5.0
_SHOWN_REASONS = 5  # together with the table of steps they fit into 24 lines


class CurationProgress:
    """A context in which `show` displays the counts and the state of the calls (from `TeacherProcess.state`).

    `num_samples` is the number of all samples, for the time left; it may be set later.
    """

    def __init__(
        self, num_samples: int = 0, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.num_samples = num_samples
        self._console = console or Console()
        self._clock = clock
        self._last_line = self._last_steps = clock()
        self._history: list[tuple[float, int]] = []
        self._live: Live | None = None

    def __enter__(self) -> CurationProgress:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        if self._live:
            self._live.__exit__(kind, error, at)

    def note(self, text: str) -> None:
        """Print a line that stays on the terminal."""
        self._console.print(Text(text), soft_wrap=True, highlight=False)

    def show(self, counts: Counts, calls: dict[str, Any]) -> None:
        """Update the display; without a terminal, print a line if the last one is 10 seconds old."""
        now = self._clock()
        self._history.append((now, counts.done))
        self._history = [(when, done) for when, done in self._history if now - when <= _WINDOW_S]
        if self._live:
            table = flow_table(counts, calls)
            table.title = self._headline(counts, calls)
            dropped = any(flow.dropped for flow in counts.steps.values())
            self._live.update(Group(table, *([reasons_table(counts, _SHOWN_REASONS)] if dropped else [])))
        elif now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            self.note(self._headline(counts, calls))
            if now - self._last_steps >= _STEPS_EVERY_S:
                self._last_steps = now
                for name, flow in counts.steps.items():
                    self.note(f"  {name}: {_step_line(flow, calls['spent'].get(name))}")

    def left_s(self, done: int) -> float | None:
        """Return the seconds to the end at the pace of the last minute; None if there is no pace yet."""
        (start, before), (now, _) = self._history[0], self._history[-1]
        has_pace = now - start >= _LEAST_S and done > before
        return (self.num_samples - done) * (now - start) / (done - before) if has_pace else None

    def _headline(self, counts: Counts, calls: dict[str, Any]) -> str:
        spent = calls["spent"].values()
        made, cost = sum(step["calls"] for step in spent), sum(step["cost"] for step in spent)
        dropped = sum(flow.dropped.total() for flow in counts.steps.values())
        parts = [f"{counts.done:,}/{self.num_samples:,} samples", f"{dropped:,} dropped", f"{made:,} calls"]
        parts += [f"cost {cost:.2f}"] if cost else []
        parts += [f"{calls['in_flight']} in flight"]
        left = self.left_s(counts.done)
        return " · ".join(parts + ([f"{duration(left)} left"] if left else []))


def _step_line(flow: Flow, spent: dict[str, Any] | None) -> str:
    """Return one step as a line: `100 in, 88 out, 120 calls, cost 0.25; the answer differs from the gold 12`."""
    reasons = "".join(f"; {reason} {count:,}" for reason, count in flow.dropped.most_common())
    asked = f", {spent['calls']:,} calls, cost {spent['cost']:.2f}" if spent else ""
    return f"{flow.entered:,} in, {flow.left:,} out{asked}{reasons}"


def flow_table(counts: Counts, calls: dict[str, Any]) -> Table:
    """Return the table of samples in, out and dropped by step, with calls, tokens and cost of steps that ask a teacher.

    "recalled" counts the calls of this attempt at the run whose replies had been recorded before.
    """
    table = Table(title="Steps", title_justify="left")
    table.add_column("step", no_wrap=True)
    for name in ("in", "out", "dropped", "calls", "recalled", "tokens", "cost"):
        table.add_column(name, justify="right")
    for name, flow in counts.steps.items():
        spent = calls["spent"].get(name, {})
        tokens = spent.get("input_tokens", 0) + spent.get("output_tokens", 0)
        asked = [
            f"{spent.get('calls', 0):,}",
            f"{calls['recalled'].get(name, 0):,}",
            f"{tokens:,}",
            f"{spent.get('cost', 0):.2f}",
        ]
        table.add_row(
            name,
            f"{flow.entered:,}",
            f"{flow.left:,}",
            f"{flow.dropped.total():,}",
            *(asked if name in STEPS else [""] * len(asked)),
        )
    return table
