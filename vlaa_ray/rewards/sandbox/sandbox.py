r"""Runs verifications in processes with limits of time and memory, so that a hostile answer costs only its own sample.

    with Sandbox(timeout_s=5.0, memory_limit_bytes=1 << 30) as sandbox:
        results = sandbox.score_batch([("<answer>4√3</answer>", r"$4\sqrt{3}$", "math", {})])

A template process loads Math-Verify once, and forks workers in milliseconds. A worker that takes longer than
`patience_s` is paused, and another worker takes the next task. Once all quick tasks are done, the paused workers
continue side by side, so that several slow answers together take one time limit. At the limit a worker is killed.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from vlaa_ray.errors import RewardError
from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.dispatch import SandboxTask, verdict_or_task, without_answer
from vlaa_ray.rewards.sandbox.fork_server import ForkServer, Worker
from vlaa_ray.rewards.verifiers.verdicts import invalid

Item = tuple[str, Any, str, Mapping[str, Any]]
"""(response, gold, verifier type, verifier parameters)."""

_MAX_SLOW = 8
_MAX_TASKS_PER_WORKER = 5_000  # sympy's caches grow; a fresh fork costs milliseconds
_CACHE_ENTRIES, _CACHE_MAX_CHARS = 16_384, 400


class Sandbox:
    """Scores batches of samples, for calls from any thread; it works on one batch at a time.

    `timeout_s` and `memory_limit_bytes` limit one verification. `num_workers` verifications run side by side, and up
    to 8 more while some are slow. `functions` maps verifier types of users to the import paths of their functions, as
    in {"chart": "my_rewards:chart"}.

    Without functions the processes start with the first sample that needs one: most verifiers need none.

    Raises RewardError if a function can't be imported or its process can't be started.
    """

    def __init__(
        self,
        timeout_s: float = 5.0,
        memory_limit_bytes: int = 1 << 30,
        num_workers: int = 1,
        *,
        functions: Mapping[str, str] | None = None,
        patience_s: float = 0.2,
    ) -> None:
        self.timeout_s = timeout_s
        self.memory_limit_bytes = memory_limit_bytes
        self.num_workers = num_workers
        self.functions = dict(functions or {})
        self.patience_s = patience_s
        self._lock = threading.Lock()
        self._closed = False
        self._cache: dict[SandboxTask, RewardResult] = {}
        self._template: ForkServer | None = None
        self._idle: list[Worker] = []
        if self.functions:
            self._started()  # a function that can't be loaded is an error before any sample is scored

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def score_batch(self, items: Sequence[Item]) -> list[RewardResult]:
        """Return one result for each item, in order.

        Up to 8 items that hang cost the batch one time limit together, not one each.

        Raises RewardError for an unknown verifier type or parameter, if no process can be started, or after `close`.
        """
        plans = [verdict_or_task(*item, self.functions) for item in items]
        tasks = dict.fromkeys(task for task in plans if isinstance(task, SandboxTask))
        verdicts: dict[SandboxTask, RewardResult] = {}
        if tasks:
            with self._lock:
                if self._closed:
                    raise RewardError("the sandbox is closed", fix="make a new Sandbox")
                verdicts = {task: self._cache[task] for task in tasks if task in self._cache}
                if new := [task for task in tasks if task not in verdicts]:
                    verdicts |= _Round(self, self._started(), self._idle, new).run()
                    self._remember(verdicts)
        return [
            _final(verdicts[planned], response) if isinstance(planned, SandboxTask) else planned
            for planned, (response, *_) in zip(plans, items, strict=True)
        ]

    def worker_pids(self) -> list[int]:
        """Return the process ids of the template and of the idle workers, which are started if they were not."""
        with self._lock:
            return [self._started().pid, *(worker.pid for worker in self._idle)]

    def close(self) -> None:
        """End all processes; safe to call twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for worker in self._idle:
                    worker.end()
                self._idle.clear()
                if self._template is not None:
                    self._template.stop()

    def _started(self) -> ForkServer:
        """Return the template; the first call starts it with its workers."""
        if self._template is None:
            functions = sorted(set(self.functions.values()))
            self._template = ForkServer(self.timeout_s, self.memory_limit_bytes, functions)
            self._idle += [self._template.fork() for _ in range(self.num_workers)]
        return self._template

    def _remember(self, verdicts: Mapping[SandboxTask, RewardResult]) -> None:
        # Answers of a group often repeat. An invalid verdict is not kept, because the machine may have caused it.
        if len(self._cache) > _CACHE_ENTRIES:
            self._cache.clear()
        for task, result in verdicts.items():
            if result.valid and len(task.answer or "") + len(task.gold) <= _CACHE_MAX_CHARS:
                self._cache[task] = result


def _final(verdict: RewardResult, response: str) -> RewardResult:
    return without_answer(verdict, response) if verdict.extracted is None else verdict


class _Round:
    """One batch of tasks, given to the workers: first the quick tasks, then the slow ones side by side."""

    def __init__(self, sandbox: Sandbox, template: ForkServer, idle: list[Worker], tasks: list[SandboxTask]) -> None:
        self.sandbox = sandbox
        self.template = template
        self.idle = idle
        self.patience_s = sandbox.patience_s
        self.pending = deque(tasks)
        self.busy: dict[Worker, tuple[SandboxTask, float]] = {}
        self.paused: dict[Worker, tuple[SandboxTask, float]] = {}
        self.verdicts: dict[SandboxTask, RewardResult] = {}

    def run(self) -> dict[SandboxTask, RewardResult]:
        """Return all verdicts. Afterwards the pool has its size again, and no worker still runs a task."""
        try:
            while self.pending or self.paused:
                self._take_quick_ones()
                self._take_slow_ones()
        finally:
            for worker in (*self.busy, *self.paused):
                worker.end()
        self._restore_pool()
        return self.verdicts

    def _take_quick_ones(self) -> None:
        """Work through the pending tasks, and pause those that take long, until 8 are paused."""
        while self.busy or (self.pending and len(self.paused) < _MAX_SLOW):
            while self.pending and len(self.busy) < self.sandbox.num_workers and len(self.paused) < _MAX_SLOW:
                self._hand_out(self.pending.popleft())
            for worker in self._wait(self.patience_s):
                worker.pause()
                # Where one answer is hostile, others may be, too: each further one is paused sooner.
                self.patience_s = max(self.patience_s / 2, self.sandbox.patience_s / 4)
                task, started = self.busy.pop(worker)
                self.paused[worker] = (task, time.monotonic() - started)

    def _take_slow_ones(self) -> None:
        """Let the paused workers continue side by side, each up to the time limit."""
        for worker, (task, used_s) in self.paused.items():
            self.busy[worker] = (task, time.monotonic() - used_s)
            worker.resume()
        self.paused.clear()
        while self.busy:
            for worker in self._wait(self.sandbox.timeout_s):
                task, _ = self.busy.pop(worker)
                worker.end()
                self.verdicts[task] = invalid(task.answer, f"timeout after {self.sandbox.timeout_s:g} s")

    def _wait(self, limit_s: float) -> list[Worker]:
        """Wait for a reply or for a worker's limit, and collect the replies. Return the workers over the limit."""
        ends = {worker: started + limit_s for worker, (_, started) in self.busy.items()}
        with selectors.DefaultSelector() as selector:
            for worker in self.busy:
                selector.register(worker.connection, selectors.EVENT_READ, worker)
            for key, _ in selector.select(max(0.0, min(ends.values()) - time.monotonic())):
                self._collect(key.data)
        now = time.monotonic()
        return [worker for worker in self.busy if ends[worker] <= now]

    def _hand_out(self, task: SandboxTask) -> None:
        # An idle worker may have died. If newly forked ones can't be reached, something is wrong with the machine.
        for _ in range(len(self.idle) + 3):
            worker = self.idle.pop() if self.idle else self.template.fork()
            if worker.send(task):
                self.busy[worker] = (task, time.monotonic())
                return
            worker.end()
        raise RewardError("the sandbox's workers die as they start", fix="raise rewards.memory_limit_bytes")

    def _collect(self, worker: Worker) -> None:
        task, _ = self.busy.pop(worker)
        reply = worker.receive()
        if "fault" in reply:
            worker.end()
            self.verdicts[task] = invalid(task.answer, f"verification failed: {reply['fault']}")
            return
        self.idle.append(worker)
        self.verdicts[task] = RewardResult(extracted=task.answer, **reply)

    def _restore_pool(self) -> None:
        """End surplus and worn-out workers, and fill the pool up. The most used are kept: their caches are warm."""
        self.idle.sort(key=lambda worker: -worker.num_tasks)
        kept = [worker for worker in self.idle if worker.num_tasks < _MAX_TASKS_PER_WORKER][: self.sandbox.num_workers]
        for worker in self.idle:
            if worker not in kept:
                worker.end()
        self.idle[:] = kept
        while len(self.idle) < self.sandbox.num_workers:
            self.idle.append(self.template.fork())
