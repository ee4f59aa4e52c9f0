r"""Runs verifications where a hostile answer costs one sample: in processes with a wall-clock and a memory limit.

    with Sandbox(timeout_s=5.0, memory_limit_bytes=1 << 30) as sandbox:
        results = sandbox.score_batch([("<answer>4√3</answer>", r"$4\sqrt{3}$", "math", {})])

A template process loads Math-Verify once and forks workers from itself in milliseconds. A worker that takes
longer than `patience_s` keeps its sample and gets a stand-in for the others, so that many slow answers wait
side by side, for one limit in all; at the limit it is killed.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.errors import RewardError
from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.router import NO_ANSWER, MathTask, plan
from vlaa_ray.rewards.verdicts import invalid

Item = tuple[str, Any, str, Mapping[str, Any]]
"""(response, gold, verifier type, verifier parameters)."""

_START_DEADLINE_S = 120.0
_FORK_DEADLINE_S = 10.0
_MAX_SET_ASIDE = 8
_SET_ASIDE_NICENESS = 5
_CACHE_SIZE = 32_768


@dataclass(eq=False)
class _Worker:
    pid: int
    connection: socket.socket
    index: int = -1
    started: float = 0.0


class Sandbox:
    """Scores batches of samples; may be used from any thread, one batch at a time.

    `timeout_s` and `memory_limit_bytes` bound one verification, `num_workers` is how many run side by side.
    RewardError if the processes can't be started.
    """

    def __init__(
        self,
        timeout_s: float = 5.0,
        memory_limit_bytes: int = 1 << 30,
        num_workers: int = 1,
        *,
        patience_s: float = 0.05,
    ) -> None:
        self.timeout_s = timeout_s
        self.memory_limit_bytes = memory_limit_bytes
        self.num_workers = num_workers
        self.patience_s = patience_s
        self._lock = threading.Lock()
        self._cache: dict[MathTask, RewardResult] = {}
        self._template, self._control = self._start_template()
        self._idle = [self._fork() for _ in range(num_workers)]

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def score_batch(self, items: Sequence[Item]) -> list[RewardResult]:
        """One result per item, in order; takes at most the normal time and one limit, however many items hang."""
        plans = [plan(*item) for item in items]
        tasks = dict.fromkeys(task for task in plans if isinstance(task, MathTask))
        with self._lock:
            verdicts = {task: self._cache[task] for task in tasks if task in self._cache}
            verdicts |= self._run([task for task in tasks if task not in verdicts])
            self._remember(verdicts)
        return [verdicts[planned] if isinstance(planned, MathTask) else planned for planned in plans]

    def worker_pids(self) -> list[int]:
        """The pids of the template and of the idle workers."""
        return [self._template.pid, *(worker.pid for worker in self._idle)]

    def close(self) -> None:
        """Ends all processes; safe to call twice."""
        with self._lock:
            for worker in self._idle:
                _end(worker)
            self._idle = []
            self._stop_template()

    def _run(self, tasks: list[MathTask]) -> dict[MathTask, RewardResult]:
        verdicts: dict[MathTask, RewardResult] = {}
        pending = deque(range(len(tasks)))
        busy: list[_Worker] = []
        with selectors.DefaultSelector() as selector:
            while pending or busy:
                while pending and self._has_room(busy):
                    worker = self._hand_out(tasks, pending.popleft())
                    selector.register(worker.connection, selectors.EVENT_READ, worker)
                    busy.append(worker)
                for key, _ in selector.select(self._next_check_s(busy)):
                    verdicts[tasks[key.data.index]] = self._collect(tasks[key.data.index], key.data)
                    selector.unregister(key.data.connection)
                    busy.remove(key.data)
                for worker in [worker for worker in busy if self._age_s(worker) >= self.timeout_s]:
                    verdicts[tasks[worker.index]] = invalid(
                        tasks[worker.index].answer, f"timeout after {self.timeout_s:g} s"
                    )
                    selector.unregister(worker.connection)
                    busy.remove(worker)
                    _end(worker)
        self._restore()
        return verdicts

    def _has_room(self, busy: list[_Worker]) -> bool:
        """Whether another worker may start: slow ones don't count, up to a limit."""
        quick = sum(self._age_s(worker) < self.patience_s for worker in busy)
        return quick < self.num_workers and len(busy) < self.num_workers + _MAX_SET_ASIDE

    def _next_check_s(self, busy: list[_Worker]) -> float:
        ages = [self._age_s(worker) for worker in busy]
        marks = [self.patience_s - age if age < self.patience_s else self.timeout_s - age for age in ages]
        return max(0.0, min(marks))

    def _age_s(self, worker: _Worker) -> float:
        return time.monotonic() - worker.started

    def _hand_out(self, tasks: list[MathTask], index: int) -> _Worker:
        line = json.dumps({"answer": tasks[index].answer, "gold": tasks[index].gold}).encode() + b"\n"
        while True:
            worker = self._idle.pop() if self._idle else self._fork()
            try:
                worker.connection.sendall(line)
            except OSError:  # it died while idle; the next one is tried
                _end(worker)
                continue
            worker.index, worker.started = index, time.monotonic()
            return worker

    def _collect(self, task: MathTask, worker: _Worker) -> RewardResult:
        line = b""
        with suppress(OSError):
            while not line.endswith(b"\n"):
                chunk = worker.connection.recv(65536)
                if not chunk:
                    break
                line += chunk
        reply = json.loads(line) if line.endswith(b"\n") else {"fault": "the worker died, perhaps of the memory limit"}
        if "fault" in reply:
            _end(worker)
            return invalid(task.answer, f"verification failed: {reply['fault']}")
        self._idle.append(worker)
        reason = NO_ANSWER if task.answer is None and reply["valid"] else reply["reason"]
        return RewardResult(value=reply["value"], valid=reply["valid"], extracted=task.answer, reason=reason)

    def _remember(self, verdicts: Mapping[MathTask, RewardResult]) -> None:
        # The answers of a group repeat, and with them the verdicts. A timeout may be the machine's fault: not kept.
        if len(self._cache) > _CACHE_SIZE:
            self._cache.clear()
        self._cache.update((task, result) for task, result in verdicts.items() if result.valid)

    def _restore(self) -> None:
        """Brings the pool back to its size: stand-ins that are left over end, lost workers are replaced."""
        for worker in self._idle[self.num_workers :]:
            _end(worker)
        del self._idle[self.num_workers :]
        while len(self._idle) < self.num_workers:
            self._idle.append(self._fork())

    def _fork(self) -> _Worker:
        for _ in range(2):
            ours, theirs = socket.socketpair()
            with theirs, suppress(OSError):
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                reply = self._control.recv(32)
                if reply:
                    ours.settimeout(self.timeout_s)
                    return _Worker(int(reply), ours)
            ours.close()
            # The template is gone or doesn't answer.
            self._stop_template()
            self._template, self._control = self._start_template()
        raise RewardError(
            "the sandbox can't start a worker", fix="see whether the machine is out of memory or processes"
        )

    def _start_template(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(self.timeout_s), str(self.memory_limit_bytes)]
        with theirs, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vlaa_ray.rewards.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,
            )
            theirs.close()
            ours.settimeout(_START_DEADLINE_S)
            with suppress(OSError):
                if ours.recv(32) == b"ready\n":
                    ours.settimeout(_FORK_DEADLINE_S)
                    return process, ours
            process.kill()
            process.wait(timeout=_FORK_DEADLINE_S)
            ours.close()
            errors.seek(0)
            message = errors.read()[-2000:].decode(errors="replace").strip()
        raise RewardError("the sandbox's process did not start", exit_status=process.returncode, stderr=message)

    def _stop_template(self) -> None:
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._template.wait(timeout=1.0)
            return
        self._template.kill()
        self._template.wait(timeout=_FORK_DEADLINE_S)


def _environment() -> dict[str, str]:
    """What a worker sees: the same modules, and nothing else of the parent's environment (no keys, no tokens)."""
    root = str(Path(__file__).resolve().parents[2])
    return {
        "PYTHONPATH": os.pathsep.join([root, *(path for path in sys.path if path and path != root)]),
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _end(worker: _Worker) -> None:
    worker.connection.close()
    with suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGKILL)
