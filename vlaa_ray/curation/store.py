"""Every reply that a teacher gave, by the hash of what it was asked; written before it is used.

    store = CallStore(Path("runs/mine/calls.sqlite"))
    store.put(key, "caption", reply, Usage(...)); store.get(key) == reply

A process that is killed loses nothing that `put` has returned from. One process at a time has it open.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from vlaa_ray.curation.steps import Reply
from vlaa_ray.errors import TeacherError

CALLS = "calls.sqlite"
_LOCK_POLL_S = 0.1
_SCHEMA = """
create table if not exists calls (
  key text primary key, step text not null, reply text not null, input_tokens integer not null,
  output_tokens integer not null, cost real not null, seconds real not null
) without rowid
"""


@dataclass(frozen=True)
class Usage:
    """What a call took: tokens as the service counts them, cost in the currency of the config's prices."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


@dataclass
class Spent:
    """Calls of a step in all: those that were made, over all attempts at the run."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, usage: Usage, times: int = 1) -> None:
        """Count a call; -1 times takes it back."""
        self.calls += times
        self.input_tokens += times * usage.input_tokens
        self.output_tokens += times * usage.output_tokens
        self.cost += times * usage.cost
        self.seconds += times * usage.seconds


class CallStore:
    """An SQLite file, for any number of threads of one process. Waits up to `wait_s` for whoever has it open."""

    def __init__(self, path: Path, wait_s: float = 0.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file_lock = _exclusive(path.with_suffix(".lock"), wait_s)
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("pragma journal_mode = wal")
            # the kernel has a commit as soon as it returns: only a power cut could take it back, never spoil the file
            self._connection.execute("pragma synchronous = normal")
            self._connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            os.close(self._file_lock)
            raise TeacherError(f"can't open the recorded calls: {error}", file=str(path)) from error

    def get(self, key: str) -> Reply | None:
        """The reply to what `key` is the hash of; None if it was never given."""
        with self._lock:
            row = self._connection.execute("select reply from calls where key = ?", (key,)).fetchone()
        return Reply(**json.loads(row[0])) if row else None

    def put(self, key: str, step: str, reply: Reply, usage: Usage) -> None:
        """Keep a reply; TeacherError if the disk can't."""
        row = (key, step, json.dumps(dataclasses.asdict(reply)), *dataclasses.astuple(usage))
        try:
            with self._lock:
                self._connection.execute("insert or ignore into calls values (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            fix = "free space there; the run goes on where it was"
            raise TeacherError(f"can't record a call: {error}", step=step, fix=fix) from error

    def keys(self, step: str) -> frozenset[str]:
        """Of all recorded calls of a step."""
        with self._lock:
            rows = self._connection.execute("select key from calls where step = ?", (step,)).fetchall()
        return frozenset(key for (key,) in rows)

    def spent(self) -> dict[str, Spent]:
        """By step, over all calls that were ever recorded here."""
        query = "select step, count(*), sum(input_tokens), sum(output_tokens), sum(cost), sum(seconds) from calls"
        with self._lock:
            rows = self._connection.execute(f"{query} group by step").fetchall()
        return {step: Spent(*values) for step, *values in rows}

    def close(self) -> None:
        with self._lock:
            self._connection.close()
        os.close(self._file_lock)


def recorded(folder: Path) -> dict[str, Spent]:
    """What the calls in a run's folder took so far, by step; TeacherError while a run is at work there."""
    path = folder / CALLS
    if not path.exists():
        return {}
    store = CallStore(path)
    try:
        return store.spent()
    finally:
        store.close()


def _exclusive(path: Path, wait_s: float) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(handle)
                fix = "end the other run of this name; a killed one waits for its last replies first"
                raise TeacherError("another process records calls here", file=str(path), fix=fix) from None
            time.sleep(_LOCK_POLL_S)
