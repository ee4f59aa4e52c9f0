"""How records are worked through: side by side where that helps, in their order, with a word to people now and then.

with report_progress(progress.note):
    for number, prompt in iterate_prompts("train.json", None): ...      # says every 10 s how far it is
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")
TELL_EVERY_S = 10.0
_log = logging.getLogger(__name__)


def side_by_side(
    make: Callable[[Item], Made], items: Iterable[Item], width: int, stop: Callable[[], None]
) -> Iterator[Made]:
    """What is made of the items, in their order; so many are being made at once.

    `stop` ends those that are on their way when nobody wants them any more.
    """
    with ThreadPoolExecutor(width) as threads:
        on_their_way: deque[Future[Made]] = deque()
        try:
            for item in items:
                on_their_way.append(threads.submit(make, item))
                if len(on_their_way) > width:
                    yield on_their_way.popleft().result()
            while on_their_way:
                yield on_their_way.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            stop()


def log_progress(file: Path, read: Iterable[tuple[int, Made]]) -> Iterator[tuple[int, Made]]:
    """The same (row, item), with a line now and then for whoever listens by `report_progress`."""
    told = time.monotonic()
    for number, one in read:
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            _log.info("%s: %s records read", file, f"{number:,}")
        yield number, one


@contextmanager
def report_progress(say: Callable[[str], None]) -> Iterator[None]:
    """Until it is left, `say` is told how far reading is."""
    handler = _Saying(say)
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.removeHandler(handler)


class _Saying(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())
