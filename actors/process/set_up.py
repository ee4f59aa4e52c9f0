"""The set-up of every actor process: its log in the run folder and its reaper; and the measurement of its memory."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from actors.process.reaper import start_reaper
from vlaa_ray.compat.cpu_wheels import register
from vlaa_ray.services.secret import take_secrets


def set_up_actor_process(log_file: str, shm_prefix: str) -> None:
    """Send the output of this process and its children to `log_file`, and start a reaper that cleans up after it."""
    path = Path(log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    start_reaper(shm_prefix)
    take_secrets()
    register()


def tree_rss_bytes() -> int:
    """Return the resident memory of this process and its children, in bytes."""
    total = 0
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # a child ended meanwhile
            continue
    return total
