"""Files that are written beside training: what they hold is copied into RAM first, which alone holds training up.

    writer.begin()
    kept = copied(state)
    writer.add(lambda: torch.save(kept, path))
    writer.start()

The state may change from then on.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import torch

Job = Callable[[], None]
"""A function that writes a file."""


class FileWriter:
    """The writer of one rank; it writes one set of files at a time."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._written: Future[None] = Future()
        self._written.set_result(None)

    def begin(self) -> None:
        """Begin a new set of files, once the set before is written, or has failed, which `is_done` has told."""
        self._written.exception()
        self._jobs = []

    def add(self, job: Job) -> None:
        """Add a file to the set."""
        self._jobs.append(job)

    def start(self) -> None:
        """Begin to write the files that were added."""
        jobs, self._jobs, self._written = self._jobs, [], Future()

        def write(written: Future[None] = self._written) -> None:
            try:
                while jobs:
                    jobs.pop(0)()  # so that the copies of a file are gone once it is written
                written.set_result(None)
            except BaseException as error:  # noqa: BLE001 - it is raised where the end is asked for
                written.set_exception(error)

        threading.Thread(target=write, name="checkpoint", daemon=True).start()

    def is_done(self) -> bool:
        """Return True when all files are written; an error of the writing is raised."""
        if self._written.done():
            self._written.result()
        return self._written.done()


def copied(value: Any) -> Any:
    """Return nested dicts and lists with copies of their tensors in RAM, each no larger than itself."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(value, Mapping):
        result: Any = copy.copy(value)  # attributes of the mapping stay, such as the versions in a state dict
        for key, item in value.items():
            result[key] = copied(item)
        return result
    if isinstance(value, list):
        return [copied(item) for item in value]
    if type(value) is tuple:
        return tuple(copied(item) for item in value)
    return copy.deepcopy(value)
