"""A run on the terminal: what it does now, how far it is, and how good the model has become.

    with Progress(num_steps=80) as progress:
        progress.phase("rollout")
        progress.step(1, metrics)

On a terminal the lines at the bottom are drawn anew; elsewhere (CI, a job's log) each step is one plain line.
Nothing else of a run writes to the terminal.
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

from vlaa_ray.monitoring.names import types_in
from vlaa_ray.roles import Phase
from vlaa_ray.text.durations import duration

_BARS = "▁▂▃▄▅▆▇█"
_HISTORY_STEPS = 24
_PACE_STEPS = 20


class Progress:
    """Shows a run of `num_steps` steps; a resumed run starts at whatever step is reported first."""

    def __init__(
        self, num_steps: int, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
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

    def phase(self, name: Phase) -> None:
        """Says what the run does from now on."""
        self._phase, self._phase_start = name, self._clock()

    def step(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Says that `step` is done, with its metrics by their names; a missing one is not shown."""
        self._ends.append((step, self._clock()))
        known = {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
        evaluation = {name: value for name, value in known.items() if name.startswith("eval/")}
        self._eval.update(evaluation)
        self._train.update({name: value for name, value in known.items() if name not in evaluation})
        for name in _reward_names(known):
            if name in known:
                self._history.setdefault(name, deque(maxlen=_HISTORY_STEPS)).append(known[name])
        if not self._console.is_terminal:
            self._print(self._line(known))

    def note(self, text: str) -> None:
        """Prints one line that stays: a warning, a path, a restart."""
        self._print(text)

    def left_s(self) -> float | None:
        """Seconds to the last step at the pace of the last steps; None before the second and after the last."""
        if len(self._ends) < 2 or not self._ends[0][0] < self._ends[-1][0] < self._num_steps:
            return None
        (first, start), (last, end) = self._ends[0], self._ends[-1]
        return (self._num_steps - last) * (end - start) / (last - first)

    def _print(self, text: str) -> None:
        # Text of a run is not markup, and a log's line is not to be broken at 80 columns.
        self._console.print(Text(text), soft_wrap=True, highlight=False)

    def _line(self, known: dict[str, float]) -> str:
        """One step as one line, of its own metrics only."""
        step = self._ends[-1][0]
        parts = [f"step {step:>{len(str(self._num_steps))}}/{self._num_steps}"]
        for prefix, label in (("reward", "reward"), ("eval/reward", "held-out reward")):
            if f"{prefix}/mean" in known:
                types = [
                    f"{kind} {known[f'{prefix}/{kind}/mean']:.2f}" for kind in types_in(known, f"{prefix}/{{}}/mean")
                ]
                parts.append(f"{label} {known[f'{prefix}/mean']:.3f}" + (f" ({', '.join(types)})" if types else ""))
        if "reward/mean" not in known and "policy/loss" in known:
            parts.append(f"loss {known['policy/loss']:.4g}")
        if "throughput/samples_per_s" in known:
            parts.append(f"{known['throughput/samples_per_s']:.0f} samples/s")
        if (left := self.left_s()) is not None:
            parts.append(f"{duration(left)} left")
        return " · ".join(parts)

    def _render(self) -> RenderableType:
        return Group(self._headline(), self._rewards(), self._activity())

    def _headline(self) -> RenderableType:
        done = self._ends[-1][0] if self._ends else 0
        facts = [f"step {done}/{self._num_steps}"]
        if "throughput/samples_per_s" in self._train:
            facts.append(f"{self._train['throughput/samples_per_s']:.0f} samples/s")
        if "reward/mean" not in self._train and "policy/loss" in self._train:
            facts.append(f"loss {self._train['policy/loss']:.4g}")
        if (left := self.left_s()) is not None:
            facts.append(f"{duration(left)} left")
        grid = Table.grid(padding=(0, 2))
        grid.add_row(ProgressBar(total=self._num_steps, completed=done, width=30), Text(" · ".join(facts)))
        return grid

    def _rewards(self) -> RenderableType:
        held_out = {name.removeprefix("eval/") for name in self._eval}
        columns = [name for name in _reward_names({*self._train, *held_out}) if name in {*self._train, *held_out}]
        if not columns:
            return Text("no reward yet", style="dim")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("reward")
        for name in columns:
            table.add_column(name.removeprefix("reward/").removesuffix("/mean"), justify="right", no_wrap=True)
        table.add_row("training", *(_value(self._train.get(name)) for name in columns), style="bold")
        if self._eval:
            table.add_row("held-out", *(_value(self._eval.get(f"eval/{name}")) for name in columns))
        if self._console.width >= 90:
            table.add_row("", *(_sparkline(self._history.get(name, ()), width=8) for name in columns), style="cyan")
        return table

    def _activity(self) -> RenderableType:
        if self._phase in ("done", "stopped"):
            return Text(self._phase, style="bold green" if self._phase == "done" else "bold yellow")
        self._spinner.update(text=f"{self._phase}  {duration(self._clock() - self._phase_start)}")
        return self._spinner


def _reward_names(known: Iterable[str]) -> list[str]:
    return ["reward/mean", *(f"reward/{kind}/mean" for kind in types_in(known, "reward/{}/mean"))]


def _value(number: float | None) -> str:
    return "–" if number is None else f"{number:.3f}"


def _sparkline(values: Any, *, width: int) -> str:
    """The last values as bars between their own minimum and maximum."""
    shown = list(values)[-width:]
    if len(shown) < 2:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 3] for value in shown)
