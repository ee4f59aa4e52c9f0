"""Processes that may end while they are looked at."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


def with_command(words: str, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of the processes that run and have `words` in their command line."""
    return [process for process in processes if words in command_of(process)]


def command_of(process: psutil.Process) -> str:
    """The command line of a process; "" if it has ended."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""
