"""A process that cleans up after another one, which may be killed at any time: its children and their shared memory.

    python -m actors.process.reaper --pid 4711 --token 3f2a… --shm-prefix vlaa-quickstart-

vLLM's engine and worker processes outlive a killed parent by minutes and keep hundreds of megabytes of shared memory. A
reaper runs beside each actor that starts such processes, in its own session, and ends with the actor. It finds
processes in two ways: as children, and by a token in their environment if they were started too late to be seen. A
process that changes its title loses the token, so neither way alone is enough.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

TOKEN = "VLAA_RAY_OWNER"
_SHARED_MEMORY = Path("/dev/shm")
_POLL_S = 2.0
_START_DEADLINE_S = 60.0
_KILL_DEADLINE_S = 10.0


def start_reaper(shm_prefix: str = "") -> None:
    """Start a reaper for this process; children that are started from now on have its token in their environment.

    Files in /dev/shm whose names start with `shm_prefix` belong to this process and are deleted when it ends.
    """
    token = secrets.token_hex(16)
    environment = {key: value for key, value in os.environ.items() if key != TOKEN}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "actors.process.reaper",
            "--pid",
            str(os.getpid()),
            "--token",
            token,
            "--shm-prefix",
            shm_prefix,
        ],
        env=environment | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
        timeout=_START_DEADLINE_S,
    )
    os.environ[TOKEN] = token


def main() -> None:
    """Watch the process with `--pid` until it ends, then clean up after it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--shm-prefix", default="")
    args = parser.parse_args()
    if os.fork():  # Ray kills the children of a worker that ends, so the reaper must not be a child
        os._exit(0)
    traces = _Traces(args.token)
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        watched, ended = psutil.Process(args.pid), select.poll()
        ended.register(os.pidfd_open(args.pid), select.POLLIN)
        while not ended.poll(_POLL_S * 1000):
            traces.follow(watched)
    traces.remove()
    for path in _SHARED_MEMORY.glob(f"{args.shm_prefix}*") if args.shm_prefix else ():
        path.unlink(missing_ok=True)


class _Traces:
    """The processes and shared files that a process has made so far."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._processes: dict[int, psutil.Process] = {}
        self._files: set[Path] = set()

    def follow(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [process, *process.children(recursive=True)]
            self._processes |= {member.pid: member for member in family}
        self._files |= _shared_files(self._processes)

    def remove(self) -> None:
        """Kill the processes that are left, then delete the files that no other process uses."""
        deadline = time.monotonic() + _KILL_DEADLINE_S
        while (alive := self._alive()) and time.monotonic() < deadline:
            self._files |= _shared_files(process.pid for process in alive)
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.1)
        for path in self._files - _shared_files(psutil.pids()):
            path.unlink(missing_ok=True)
        for pid in self._processes:  # semaphores that joblib makes on import and maps under another name
            for path in _SHARED_MEMORY.glob(f"sem.loky-{pid}-*"):
                path.unlink(missing_ok=True)

    def _alive(self) -> list[psutil.Process]:
        for pid in owned(self._token):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._processes.setdefault(pid, psutil.Process(pid))
        return [process for process in self._processes.values() if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def owned(token: str) -> list[int]:
    """Return the ids of the processes whose environment holds the token."""
    wanted = f"{TOKEN}={token}".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                pids.append(int(entry.name))
    return pids


def _shared_files(pids: Iterable[int]) -> set[Path]:
    """Return the files in /dev/shm that any of the processes maps."""
    files = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                name = line[line.find("/") :]
                if name.startswith(f"{_SHARED_MEMORY}/") and not name.endswith("(deleted)"):
                    files.add(Path(name))
    return files


if __name__ == "__main__":
    main()
