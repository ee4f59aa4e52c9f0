"""Clears up after a process that may be killed at any time: its children, and what they left in /dev/shm.

    python -m actors.reaper --pid 4711 --token 3f2a… --shm-prefix vlaa-quickstart-

vLLM's engine and worker processes outlive a killed parent by minutes and keep hundreds of megabytes of
shared memory. A reaper runs beside each actor that owns such things, in a session of its own, and
ends with it. Processes are known by a token in their environment, never by name.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

TOKEN = "VLAA_RAY_OWNER"
_SHARED_MEMORY = "/dev/shm/"
_POLL_S = 1.0
_START_DEADLINE_S = 60.0
_KILL_DEADLINE_S = 10.0


def start_reaper(token: str, shm_prefix: str) -> None:
    """Watch this process from another one; children started from now on carry the token."""
    environment = {key: value for key, value in os.environ.items() if key != TOKEN}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "actors.reaper",
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--shm-prefix", required=True)
    args = parser.parse_args()
    if os.fork():  # Ray kills the children of a worker that ends: this one must not be one
        os._exit(0)
    try:
        watched = os.pidfd_open(args.pid)
    except ProcessLookupError:
        watched = None
    files: set[str] = set()
    poller = select.poll()
    if watched is not None:
        poller.register(watched, select.POLLIN)
        while not poller.poll(_POLL_S * 1000):
            files |= _shared_files([args.pid, *_owned(args.token)])
    _reap(args.token, files)
    for path in Path(_SHARED_MEMORY).glob(f"{args.shm_prefix}*"):
        path.unlink(missing_ok=True)


def _reap(token: str, files: set[str]) -> None:
    deadline = time.monotonic() + _KILL_DEADLINE_S
    while (owned := _owned(token)) and time.monotonic() < deadline:
        files |= _shared_files(owned)
        for pid in owned:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    still_used = _shared_files([int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()])
    for name in files - still_used:
        Path(name).unlink(missing_ok=True)


def _owned(token: str) -> list[int]:
    """Processes whose environment holds the token, zombies left out."""
    wanted = f"{TOKEN}={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _shared_files(pids: list[int]) -> set[str]:
    """Named files in /dev/shm that any of the processes maps."""
    files = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                name = line[line.find("/") :] if _SHARED_MEMORY in line else ""
                if name.startswith(_SHARED_MEMORY) and not name.endswith("(deleted)"):
                    files.add(name)
    return files


if __name__ == "__main__":
    main()
