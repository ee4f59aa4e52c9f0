"""A thread that does something every second while a block runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

_REPEAT_S = 1.0


@contextlib.contextmanager
def repeating(show: Callable[[], None]) -> Iterator[None]:
    """Call `show` in a thread every second while the block runs, and a last time when it ends."""
    ended = threading.Event()

    def repeat() -> None:
        over = False
        while not over:
            over = ended.wait(_REPEAT_S)
            show()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10 * _REPEAT_S)
