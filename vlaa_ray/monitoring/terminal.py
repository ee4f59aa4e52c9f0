"""The display of a run on the terminal: its phase, its progress, and its rewards or losses.

    with Progress(num_steps=80) as progress:
        progress.phase("rollout")
        progress.step(1, metrics)

On a terminal the lines at the bottom are redrawn. Elsewhere (CI, a job's log) each step is one plain line.
No other part of a run writes to the terminal.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from vlaa_ray.monitoring.names import describe, types_in
from vlaa_ray.roles import Phase
from vlaa_ray.text.durations import duration

_BARS = "▁▂▃▄▅▆▇█"
_HISTORY_STEPS = 24
_PACE_STEPS = 20


class Progress:
    """The display of a run of `num_steps` steps, to be used with `with`; None if `plan` gives the number later.

    A resumed run starts at the first step that is reported.
    """

    def __init__(
        self, num_steps: int | None, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._num_steps, self._clock = num_steps, clock
        self._console = console or Console()
        self._phase, self._phase_start = "start", clock()
        self._ends: deque[tuple[int, float]] = deque(maxlen=_PACE_STEPS + 1)
        self._train: dict[str, float] = {}
        self._eval: dict[str, float] = {}
        self._history: dict[str, deque[float]] = {}
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._phase = "done" if kind is None else "stopped"
        self._live.stop()

    def plan(self, num_steps: int) -> None:
        """Take the number of steps of the whole run."""
        self._num_steps = num_steps

    def phase(self, name: Phase) -> None:
        """Show the phase that the run is in from now on."""
        self._phase, self._phase_start = name, self._clock()

    def step(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Show that `step` is done, with its metrics by their names; a missing one is not shown."""
        self._ends.append((step, self._clock()))
        known = {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
        evaluation = {name: value for name, value in known.items() if name.startswith("eval/")}
        self._eval.update(evaluation)
        self._train.update({name: value for name, value in known.items() if name not in evaluation})
        for name in _columns(known):
            if name in known:
                self._history.setdefault(name, deque(maxlen=_HISTORY_STEPS)).append(known[name])
        if not self._console.is_terminal:
            self._print(self._line(known))

    def note(self, text: str) -> None:
        """Print one line that stays: a warning, a path, a restart."""
        self._print(text)

    def left_s(self) -> float | None:
        """Return the seconds to the end at the last steps' pace; None before the second step and after the end."""
        if self._num_steps is None or len(self._ends) < 2:
            return None
        if not self._ends[0][0] < self._ends[-1][0] < self._num_steps:
            return None
        (first, start), (last, end) = self._ends[0], self._ends[-1]
        return (self._num_steps - last) * (end - start) / (last - first)

    def _print(self, text: str) -> None:
        # Text of a run is not markup, and a line of a log must not be broken at 80 columns.
        self._console.print(Text(text), soft_wrap=True, highlight=False)

    def _line(self, known: dict[str, float]) -> str:
        """Return one step as one line, with its own metrics only."""
        step = self._ends[-1][0]
        total = self._num_steps
        parts = [f"step {step}" if total is None else f"step {step:>{len(str(total))}}/{total}"]
        for prefix, label in (("reward", "reward"), ("eval/reward", "held-out reward")):
            if f"{prefix}/mean" in known:
                types = [
                    f"{name} {known[f'{prefix}/{name}/mean']:.2f}" for name in types_in(known, f"{prefix}/{{}}/mean")
                ]
                parts.append(f"{label} {known[f'{prefix}/mean']:.3f}" + (f" ({', '.join(types)})" if types else ""))
        if "reward/mean" not in known:
            parts += _supervised_parts(known)
        if "throughput/samples_per_s" in known:
            parts.append(f"{known['throughput/samples_per_s']:.0f} samples/s")
        if (left := self.left_s()) is not None:
            parts.append(f"{duration(left)} left")
        return " · ".join(parts)

    def _render(self) -> RenderableType:
        return Group(self._headline(), self._figures(), self._activity())

    def _headline(self) -> RenderableType:
        done = self._ends[-1][0] if self._ends else 0
        facts = [f"step {done}" if self._num_steps is None else f"step {done}/{self._num_steps}"]
        if "throughput/samples_per_s" in self._train:
            facts.append(f"{self._train['throughput/samples_per_s']:.0f} samples/s")
        if (left := self.left_s()) is not None:
            facts.append(f"{duration(left)} left")
        grid = Table.grid(padding=(0, 2))
        grid.add_row(ProgressBar(total=self._num_steps, completed=done, width=30), Text(" · ".join(facts)))
        return grid

    def _figures(self) -> RenderableType:
        """Return the table of rewards; for a run without rewards, of its loss and its accuracy."""
        known = {*self._train, *self._eval}
        columns = [name for name in _columns(known) if name in known or _held_out(name) in known]
        if not columns:
            return Text("no figures yet", style="dim")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("reward" if columns[0].startswith("reward/") else "")
        for name in columns:
            table.add_column(_label(name), justify="right", no_wrap=True)
        table.add_row("training", *(_value(self._train.get(name)) for name in columns), style="bold")
        if self._eval:
            table.add_row("held-out", *(_value(self._eval.get(_held_out(name))) for name in columns))
        if self._console.width >= 90:
            table.add_row("", *(_sparkline(self._history.get(name, ()), width=8) for name in columns), style="cyan")
        return table

    def _activity(self) -> RenderableType:
        if self._phase in ("done", "stopped"):
            return Text(self._phase, style="bold green" if self._phase == "done" else "bold yellow")
        self._spinner.update(text=f"{self._phase}  {duration(self._clock() - self._phase_start)}")
        return self._spinner


_SUPERVISED = {
    "policy/loss": ("loss", "eval/loss"),
    "pairs/accuracy": ("accuracy on pairs", "eval/pairs/accuracy"),
}
"""Metrics of a run without rewards: their labels and the held-out metrics of the same kind."""


def _columns(known: Iterable[str]) -> list[str]:
    """Return the training metrics to show: the rewards; before them, in a run that does not train on any, its loss."""
    known = set(known)
    names = {name.removeprefix("eval/") for name in known}
    types = types_in(names, "reward/{}/mean")
    rewards = ["reward/mean", *(f"reward/{verifier_type}/mean" for verifier_type in types)]
    own = [] if "reward/mean" in known else list(_SUPERVISED)
    return [*own, *(rewards if "reward/mean" in names else ())]


def _held_out(name: str) -> str:
    return _SUPERVISED[name][1] if name in _SUPERVISED else f"eval/{name}"


def _label(name: str) -> str:
    """Return a column's heading; it says so where lower values are better."""
    label = _SUPERVISED[name][0] if name in _SUPERVISED else name.removeprefix("reward/").removesuffix("/mean")
    return f"{label} (lower is better)" if describe(_held_out(name)).better == "lower" else label


def _supervised_parts(known: Mapping[str, float]) -> list[str]:
    """Return the loss and the accuracy of one step, in training and held out, as parts of a line."""
    parts = []
    for name, (label, held_out) in _SUPERVISED.items():
        parts += [f"{label} {known[name]:.4g}"] if name in known else []
        parts += [f"held-out {label} {known[held_out]:.4g}"] if held_out in known else []
    return parts


def _value(number: float | None) -> str:
    return "–" if number is None else f"{number:.3f}"


def _sparkline(values: Any, *, width: int) -> str:
    """Return the last values as bars between their own minimum and maximum."""
    shown = list(values)[-width:]
    if len(shown) < 2:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 3] for value in shown)
