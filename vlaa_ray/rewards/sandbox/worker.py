"""The template process of the sandbox: loads all verifiers once, then forks workers, which may be killed at any time.

    python -m vlaa_ray.rewards.sandbox.worker CONTROL_FD TIMEOUT_S MEMORY_LIMIT_BYTES [FUNCTION …]

Protocol. The sandbox sends one byte over the control socket, with another socket attached. The template forks a
worker for the attached socket, and replies with the worker's process id. For each task the worker reads one line of
JSON, [function, answer, gold, parameters], and writes one: {"value", "valid", "reason", "parts"} or {"fault"}.

When the sandbox is gone, the control socket ends, and the template kills its whole process group. If the template dies
first, an alarm still limits the CPU time of each verification. The kernel delivers it even to a process that is deep
in a computation.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from types import TracebackType

from vlaa_ray.errors import RewardError
from vlaa_ray.rewards.dispatch import Verifier
from vlaa_ray.rewards.sandbox.hardening import confine, forbid_evaluation
from vlaa_ray.rewards.sandbox.user_functions import load_function
from vlaa_ray.rewards.verifiers.math import judge_math

_ALARM_GRACE_S = 1.0
# Golds and answers. Judging them loads what sympy and the grammar load on first use, so workers need not do it again.
_WARM_UP = (
    (r"$\frac{1}{2}$", "0.5"),
    (r"y = -5 * sin(-5 * x)", r"y=-5\sin(-5x)"),
    (r"$(x-1)^2+3\sqrt{2}$", "x^2 - 2x + 1 + 3√2"),
    (r"$(-\infty, 3] \cup [4, 5)$", "(-oo, 3]"),
    (r"$x=1, x=\log_2 3$", "{1, 2}"),
    ("25%", "0.25"),
    (r"$a \leq x < 3$", r"$\{1, 2\}$"),
    (r"f(x)=-3|x-3|+\frac{x^2}{81}", r"f(x) = 3|x-3|"),
    (r"$\pi-\tan^{-1}\left(\frac{1}{d}\right)$", r"$\pi - \arctan(d)$"),
    (r"\frac{x^2}{81}+\frac{y^2}{9}=1", r"\frac{x^2}{9}+\frac{y^2}{81}=1"),
    (r"$\frac{-1 \pm \sqrt{13}}{4}$", r"$2^{n-1} \cdot a_1$"),
    (r"(1, -\frac{3}{2})", "1:2"),
    (r"4\pi-2\sqrt{3}", r"\text{Evelyn}"),
)


def main() -> None:
    """Fork a worker for each request, until the control socket ends."""
    control = socket.socket(fileno=int(sys.argv[1]))
    timeout_s, memory_limit_bytes = float(sys.argv[2]), int(sys.argv[3])
    verifiers: dict[str, Verifier] = {"math": judge_math}
    try:
        verifiers |= {path: load_function(path) for path in sys.argv[4:]}
    except RewardError as error:
        control.sendall(error.message.encode())
        raise
    forbid_evaluation()
    for gold, answer in _WARM_UP:
        judge_math(answer, gold)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    control.sendall(b"ready\n")
    # The parser writes to the standard streams, but from here on no process reads them.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            control.close()
            _serve(socket.socket(fileno=descriptors[0]), verifiers, timeout_s, memory_limit_bytes)
            return
        os.close(descriptors[0])
        control.sendall(f"{pid}\n".encode())


def _serve(
    connection: socket.socket, verifiers: Mapping[str, Verifier], timeout_s: float, memory_limit_bytes: int
) -> None:
    """Verify the tasks that come over the connection, one after another, within the limits."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def last_words(error_type: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Send an unforeseen error before it ends the worker; it becomes the reason why the sample is invalid."""
        connection.sendall(json.dumps({"fault": f"{error_type.__name__}: {str(error)[:200]}"}).encode() + b"\n")

    sys.excepthook = last_words
    confine()
    # sympy catches MemoryError and then calls the two sides unequal, so no verdict near the limit is trusted.
    trusted_bytes = (_peak_bytes() + memory_limit_bytes) // 2
    for line in connection.makefile("r", encoding="utf-8"):
        function, answer, gold, params = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, timeout_s + _ALARM_GRACE_S)
        result = verifiers[function](answer, json.loads(gold), **json.loads(params))
        signal.setitimer(signal.ITIMER_PROF, 0)
        if _peak_bytes() > trusted_bytes:
            raise MemoryError(f"nearly all of the {memory_limit_bytes >> 20} MiB that are allowed were used")
        reply = {"value": result.value, "valid": result.valid, "reason": result.reason, "parts": result.parts}
        connection.sendall(json.dumps(reply).encode() + b"\n")


def _peak_bytes() -> int:
    """Return the largest size in bytes that this process's address space has had."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmPeak:"))


if __name__ == "__main__":
    main()
