"""Reads records in parallel but in their order, and reports the progress every 10 seconds.

with report_progress(progress.note):
    for number, prompt in iterate_prompts("train.json", None): ...      # notes "train.json: 12,000 records read"
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
REPORT_EVERY_S = 10.0
_log = logging.getLogger(__name__)


def side_by_side(
    make: Callable[[Item], Made], items: Iterable[Item], width: int, stop: Callable[[], None]
) -> Iterator[Made]:
    """`make(item)` for each item, in the order of the items, with `width` calls at a time in threads.

    When the iteration ends early, waiting calls are cancelled and `stop` is called to end the running ones.
    An error of `make` is raised at its item's turn.
    """
    with ThreadPoolExecutor(width) as threads:
        in_flight: deque[Future[Made]] = deque()
        try:
            for item in items:
                in_flight.append(threads.submit(make, item))
                if len(in_flight) > width:
                    yield in_flight.popleft().result()
            while in_flight:
                yield in_flight.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            stop()


def log_progress(file: Path, read: Iterable[tuple[int, Made]]) -> Iterator[tuple[int, Made]]:
    """The (row, item) pairs of `read`, unchanged. Every 10 seconds, the number of records read is logged.

    `report_progress` passes these lines on.
    """
    last_report = time.monotonic()
    for number, item in read:
        if time.monotonic() - last_report > REPORT_EVERY_S:
            last_report = time.monotonic()
            _log.info("%s: %s records read", file, f"{number:,}")
        yield number, item


@contextmanager
def report_progress(report: Callable[[str], None]) -> Iterator[None]:
    """A context in which `report` is called with each line of `log_progress`."""
    handler = _ReportHandler(report)
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.removeHandler(handler)


class _ReportHandler(logging.Handler):
    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report(record.getMessage())
