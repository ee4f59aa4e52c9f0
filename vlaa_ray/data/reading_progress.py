"""Reads records side by side, gives them in their order, and reports the progress every 10 seconds.

For example:

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
    """Yield `make(item)` for each item, in the order of the items. At most `width` calls run at a time, in threads.

    At the end of the iteration, also of one that ends early, calls that have not started are cancelled, and `stop` is
    called to end the running ones. An error of `make` is raised at its item's turn.
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
    """Yield the (row, item) pairs of `read`, unchanged, and log the number of records read every 10 seconds.

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
    """Call `report` with each line of `log_progress`, for the `with` block."""
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
