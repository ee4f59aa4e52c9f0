"""The display of work in one line: redrawn on a terminal, elsewhere printed from time to time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text


class LineDisplay(ABC):
    """A context that shows `_line()` while it is open; without a terminal at most every `line_every_s` seconds."""

    def __init__(
        self, line_every_s: float, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line_every_s, self._console, self._clock = line_every_s, console or Console(), clock
        self._last_line = clock()
        self._live = Live(get_renderable=self._line, console=self._console, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(Text(text), soft_wrap=True, highlight=False)

    def _print_if_due(self) -> None:
        now = self._clock()
        if not self._console.is_terminal and now - self._last_line >= self._line_every_s:
            self._last_line = now
            self.note(self._line().plain)

    @abstractmethod
    def _line(self) -> Text:
        """Return the line as it is now."""
