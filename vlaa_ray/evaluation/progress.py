"""The progress of an evaluation: what is asked and scored, the pace and the time left, and the final table."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vlaa_ray.monitoring.line_display import LineDisplay
from vlaa_ray.text.durations import duration

_LINE_EVERY_S = 10.0
_PACE_S = 60.0


class EvaluationProgress(LineDisplay):
    """A context that shows the progress: one line that is redrawn on a terminal, elsewhere a line every 10 seconds."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stage, self._done, self._total = "start", 0, 0
        self.num_tokens = 0
        """The tokens of the answers in this part of the work."""
        self._history: deque[tuple[float, int, int]] = deque()
        super().__init__(_LINE_EVERY_S, console, clock)

    def stage(self, name: str, total: int) -> None:
        """Begin a part of the work with `total` answers."""
        self._stage, self._done, self._total, self.num_tokens = name, 0, total, 0
        self._history.clear()
        self._history.append((self._clock(), 0, 0))

    def advance(self, num_answers: int, num_tokens: int = 0) -> None:
        """Count answers that are done; without a terminal, print a line if the last one is 10 seconds old."""
        now = self._clock()
        self._done += num_answers
        self.num_tokens += num_tokens
        if now - self._history[-1][0] >= 1.0:
            self._history.append((now, self._done, self.num_tokens))
            while now - self._history[0][0] > _PACE_S:
                self._history.popleft()
        self._print_if_due()

    def left_s(self) -> float | None:
        """Return the seconds to the end of this part at the pace of the last minute; None if there is no pace yet."""
        if len(self._history) < 2:
            return None
        (start, before, _), (now, done, _) = self._history[0], self._history[-1]
        return (self._total - self._done) * (now - start) / (done - before) if done > before else None

    def _line(self) -> Text:
        parts = [self._stage]
        if self._total:
            parts.append(f"{self._done:,}/{self._total:,} answers")
        if len(self._history) > 1 and self.num_tokens:
            (start, _, before), (now, _, tokens) = self._history[0], self._history[-1]
            parts.append(f"{(tokens - before) / (now - start):,.0f} tokens/s")
        left = self.left_s()
        return Text(" · ".join(parts + ([f"{duration(left)} left"] if left else [])))


def result_table(result: Mapping[str, Any]) -> Table:
    """Return a result as a table for the terminal: each headline with its interval, and who settled the answers.

    The last column counts answers that a rule, the judge, and nobody settled; unanswered rows are among the last.
    """
    table = Table(title=f"{result['model']['name']}: scores in %", title_justify="left", caption_justify="left")
    for column in ("benchmark", "figure", "score", "95% interval", "rows", "rule/judge/none"):
        table.add_column(column, justify="left" if column in ("benchmark", "figure") else "right", no_wrap=True)
    for name, entry in result["benchmarks"].items():
        score, settled = entry["scores"][entry["headline"]], entry["settled"]
        interval = "" if score["low"] is None else f"{score['low']:.1f} to {score['high']:.1f}"
        counts = settled["rule"], settled["judge"], settled["unsettled"] + settled["unanswered"]
        by = "/".join(f"{count:,}" for count in counts)
        table.add_row(name, entry["headline"], f"{score['value']:.1f}", interval, f"{entry['num_rows']:,}", by)
    if result["mean_of_six"] is not None:
        table.add_row("mean of six", "", f"{result['mean_of_six']:.1f}", "", "", "")
    table.caption = conditions_line(result["conditions"])
    return table


def conditions_line(conditions: Mapping[str, Any]) -> str:
    """Return the conditions of a result in one line."""
    prompt = conditions["system_prompt"]
    judge = conditions["judge"]
    parts = [
        f"conditions {conditions['name']}: questions as {conditions['style']}",
        f"system prompt {prompt[:30] + '…' if prompt else 'none'}",
    ]
    if conditions["max_pixels"]:
        parts.append(f"{conditions['min_pixels']:,} to {conditions['max_pixels']:,} pixels")
    parts += [
        f"at most {conditions['max_completion_tokens']:,} tokens",
        f"temperature {conditions['temperature']:g}, top_p {conditions['top_p']:g}",
        f"{conditions['num_samples']} sample(s), seed {conditions['seed']}",
        f"judge {judge['model']} at {judge['url']}" if judge else "no judge",
    ]
    return " · ".join(parts)
