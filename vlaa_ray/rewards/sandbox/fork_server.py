"""The sandbox's side of its processes: starts the template, lets it fork workers, and talks to a worker.

Every wait has a deadline, and a process that doesn't answer in time is killed. The module `worker` describes the
protocol.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.errors import RewardError
from vlaa_ray.rewards.dispatch import SandboxTask

_START_DEADLINE_S = 120.0
_FORK_DEADLINE_S = 10.0
_STOP_DEADLINE_S = 5.0


@dataclass(eq=False)
class Worker:
    """A process that verifies one sample at a time."""

    pid: int
    connection: socket.socket
    num_tasks: int = 0

    def send(self, task: SandboxTask) -> bool:
        """Send the task. Return True if it was sent, False if the worker is dead."""
        self.num_tasks += 1
        try:
            self.connection.sendall(json.dumps(task).encode() + b"\n")
        except OSError:
            return False
        return True

    def receive(self) -> dict[str, Any]:
        """Return the reply, or {"fault": …} if the worker died before its reply was complete."""
        line = b""
        with suppress(OSError):
            while not line.endswith(b"\n"):
                chunk = self.connection.recv(65536)
                if not chunk:
                    break
                line += chunk
        if not line.endswith(b"\n"):
            return {"fault": "the worker died; perhaps it reached the memory limit"}
        reply: dict[str, Any] = json.loads(line)
        return reply

    def pause(self) -> None:
        """Stop the process until `resume`, so that it takes no CPU time from the others."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the paused process continue."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill the process and close the connection to it."""
        self.connection.close()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class ForkServer:
    """The template: a process that has loaded Math-Verify and the users' functions, and forks workers.

    It is started again if it has died. Raises RewardError if it can't be started or a function can't be loaded.
    """

    def __init__(self, timeout_s: float, memory_limit_bytes: int, functions: Sequence[str] = ()) -> None:
        self._timeout_s = timeout_s
        self._memory_limit_bytes = memory_limit_bytes
        self._functions = functions
        self._process, self._control = self._start()

    @property
    def pid(self) -> int:
        """The process id of the template."""
        return self._process.pid

    def fork(self) -> Worker:
        """Return a new worker, within milliseconds. Raises RewardError if the machine can't start one."""
        for _ in range(2):
            ours, theirs = socket.socketpair()
            with theirs, suppress(OSError):
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                reply = self._control.recv(32)
                if reply:
                    ours.settimeout(self._timeout_s)
                    return Worker(int(reply), ours)
            ours.close()
            self.stop()
            self._process, self._control = self._start()
        raise RewardError("the sandbox can't start a worker", fix="check whether memory or processes have run out")

    def stop(self) -> None:
        """End the template, and with it all of its workers."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
            return
        self._process.kill()
        self._process.wait(timeout=_STOP_DEADLINE_S)

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Return the template's process and its control socket, once it is ready to fork workers."""
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(self._timeout_s), str(self._memory_limit_bytes), *self._functions]
        with theirs, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vlaa_ray.rewards.sandbox.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,
            )
            theirs.close()
            ours.settimeout(_START_DEADLINE_S)
            reply = b""
            with suppress(OSError):
                reply = ours.recv(4096)
            if reply == b"ready\n":
                ours.settimeout(_FORK_DEADLINE_S)
                return process, ours
            process.kill()
            process.wait(timeout=_STOP_DEADLINE_S)
            ours.close()
            errors.seek(0)
            message = errors.read()[-2000:].decode(errors="replace").strip()
        if reply:
            fix = "write package.module:function; the module must be on the Python path or in the current folder"
            raise RewardError(f"a verifier can't be loaded: {reply.decode(errors='replace')}", fix=fix)
        raise RewardError("the sandbox's process did not start", exit_status=process.returncode, stderr=message)


def _environment() -> dict[str, str]:
    """Return a worker's environment: the module path of this process, and the current folder.

    Nothing else of this process's environment is in it, because that may hold keys and tokens.
    """
    root = str(Path(__file__).resolve().parents[3])
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([root, *(path or os.getcwd() for path in sys.path), os.getcwd()])),
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
