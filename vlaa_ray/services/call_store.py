"""The store of all replies of services, by the hash of the request. A reply is stored before it is used.

    store = CallStore(Path("runs/mine/calls.sqlite"))
    store.put(key, "caption", reply, Usage(...)); store.get(key) == reply

When `put` has returned, the reply survives a kill of the process. Only one process at a time can open the store.
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

from vlaa_ray.errors import TeacherError

CALLS = "calls.sqlite"
_LOCK_POLL_S = 0.1
_SCHEMA = """
create table if not exists calls (
  key text primary key, step text not null, reply text not null, input_tokens integer not null,
  output_tokens integer not null, cost real not null, seconds real not null
) without rowid
"""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A service's reply. `thought` is thinking that the service sent apart; `refused` says why there is no text."""

    text: str = ""
    thought: str | None = None
    finish_reason: str = "stop"
    refused: str = ""


@dataclass(frozen=True)
class Usage:
    """The usage of one call: tokens as counted by the service, cost in the currency of the config's prices, seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


@dataclass
class Spent:
    """The total of the calls of a step, over all attempts at the run."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, usage: Usage, times: int = 1) -> None:
        """Add the usage `times` times; -1 subtracts it."""
        self.calls += times
        self.input_tokens += times * usage.input_tokens
        self.output_tokens += times * usage.output_tokens
        self.cost += times * usage.cost
        self.seconds += times * usage.seconds


class CallStore:
    """An SQLite file of replies, which all threads of one process may use.

    Raises TeacherError if the file can't be opened, or if another process still has it open after `wait_s` seconds.
    """

    def __init__(self, path: Path, wait_s: float = 0.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file_lock = _exclusive(path.with_suffix(".lock"), wait_s)
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("pragma journal_mode = wal")
            # a finished commit has reached the kernel: only a power cut can lose it, and the file stays intact
            self._connection.execute("pragma synchronous = normal")
            self._connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            os.close(self._file_lock)
            raise TeacherError(f"can't open the recorded calls: {error}", file=str(path)) from error

    def get(self, key: str) -> Reply | None:
        """Return the reply to the request with this hash; None if none is stored."""
        with self._lock:
            row = self._connection.execute("select reply from calls where key = ?", (key,)).fetchone()
        return Reply(**json.loads(row[0])) if row else None

    def put(self, key: str, step: str, reply: Reply, usage: Usage) -> None:
        """Store a reply. Raises TeacherError if it can't be written."""
        row = (key, step, json.dumps(dataclasses.asdict(reply)), *dataclasses.astuple(usage))
        try:
            with self._lock:
                self._connection.execute("insert or ignore into calls values (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            fix = "free disk space, then run the same command again to continue"
            raise TeacherError(f"can't record a call: {error}", step=step, fix=fix) from error

    def keys(self, step: str) -> frozenset[str]:
        """Return the hashes of all stored requests of a step."""
        with self._lock:
            rows = self._connection.execute("select key from calls where step = ?", (step,)).fetchall()
        return frozenset(key for (key,) in rows)

    def spent(self) -> dict[str, Spent]:
        """Return the total of all stored calls, by step."""
        query = "select step, count(*), sum(input_tokens), sum(output_tokens), sum(cost), sum(seconds) from calls"
        with self._lock:
            rows = self._connection.execute(f"{query} group by step").fetchall()
        return {step: Spent(*values) for step, *values in rows}

    def close(self) -> None:
        """Close the file, so that another process can open it."""
        with self._lock:
            self._connection.close()
        os.close(self._file_lock)


def recorded(folder: Path) -> dict[str, Spent]:
    """Return the total of the stored calls in a run's folder, by step; {} without stored calls.

    Raises TeacherError if a run is active in the folder.
    """
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
                fix = (
                    "end the other run of this name; a killed run still waits for its last replies, so try again later"
                )
                raise TeacherError("another process is recording calls here", file=str(path), fix=fix) from None
            time.sleep(_LOCK_POLL_S)
