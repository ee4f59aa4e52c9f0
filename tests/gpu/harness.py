"""What all measurements share: clocks, peaks of memory, and figures that are printed and written as they come.

Every measurement is a function of a `Bench`. It runs in a process of its own, so that one that fails, hangs or breaks
the GPU's context does not stop the others. Its figures up to then are kept.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sizes import SIZES, Sizes

Measure = Callable[["Bench"], None]
_RAISED = re.compile(r"[A-Za-z_][\w.]*(:|$)")
"""The line of a traceback that names the error, such as `torch.OutOfMemoryError: CUDA out of memory. …`."""
_TAIL_LINES = 20
_KILLED_S = 10


@dataclass(frozen=True)
class Measurement:
    """A measurement, its name and the seconds that it may take, with the start of its process."""

    name: str
    measure: Measure
    deadline_s: float


class Bench:
    """The device, the sizes and the figures of one measurement."""

    def __init__(self, name: str, sizes: Sizes, folder: Path) -> None:
        self.name, self.sizes, self._folder = name, sizes, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def note(self, figure: str, value: float | str | None, unit: str = "") -> None:
        """Print a figure and keep it; None stands for what could not be measured."""
        shown = f"{value:,.4g}" if isinstance(value, float) else f"{value}"
        print(f"{self.name:<16} {figure:<58} {shown:>12} {unit}", flush=True)
        with (self._folder / self.name).open("a") as lines:
            lines.write(json.dumps({"figure": figure, "value": value, "unit": unit}) + "\n")

    def noted(self, name: str, figure: str) -> float | None:
        """Return a figure of an earlier measurement; None if there is none."""
        figures = {row["figure"]: row["value"] for row in _figures(self._folder / name)}
        return figures.get(figure)

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any], num_repeats: int | None = None) -> tuple[float, float]:
        """Return the seconds of the first call and the median of the calls after it."""
        seconds = []
        for _ in range(1 + (num_repeats or self.sizes.num_repeats)):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            seconds.append(time.perf_counter() - start)
        return seconds[0], statistics.median(seconds[1:])

    @contextmanager
    def peak(self, figure: str) -> Iterator[None]:
        """Note the peak of the GPU's memory in the block, in all and beyond what was there before."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield
        self.note(f"{figure}: peak memory", torch.cuda.max_memory_allocated() / 1e9, "GB")
        self.note(f"{figure}: peak beyond the start", (torch.cuda.max_memory_allocated() - before) / 1e9, "GB")
        self.note(f"{figure}: peak reserved", torch.cuda.max_memory_reserved() / 1e9, "GB")


def measured(measurements: list[Measurement], sizes_name: str, budget_s: float) -> dict[str, Any]:
    """Run the measurements one after another within `budget_s` seconds; return their figures and failures by name."""
    end, results = time.monotonic() + budget_s, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for measurement in measurements:
            start = time.monotonic()
            timeout_s = min(measurement.deadline_s, end - start)
            failure: dict[str, Any] | None = _failed("no time was left")
            if timeout_s > 1:
                failure = _failure(measurement, sizes_name, folder, timeout_s)
            if failure:
                print(f"{measurement.name:<16} FAILED: {failure['cause']}", flush=True)
            results[measurement.name] = {
                "seconds": round(time.monotonic() - start, 2),
                "figures": _figures(folder / measurement.name),
                "failure": failure,
            }
    return results


def _failure(measurement: Measurement, sizes_name: str, folder: Path, timeout_s: float) -> dict[str, Any] | None:
    """Run one measurement in its own process and return its failure; None if it came to its end."""
    errors = folder / f"{measurement.name}.errors"
    # a process that is forked after a look at the GPU can't use it; on a CPU a fork saves the imports
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    process = context.Process(target=_run, args=(measurement, sizes_name, folder, errors))
    process.start()
    process.join(timeout_s)
    if process.is_alive():
        process.kill()
        process.join(_KILLED_S)
        return _failed(f"not done within {timeout_s:.0f} s")
    if process.exitcode == 0:
        return None
    text = errors.read_text(errors="replace") if errors.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)] or lines
    return _failed(raised[-1] if raised else f"the process ended with {process.exitcode}", lines[-_TAIL_LINES:])


def _run(measurement: Measurement, sizes_name: str, folder: Path, errors: Path) -> None:
    with errors.open("wb") as file:  # an exception's traceback goes there, and so does the last word of a crash
        os.dup2(file.fileno(), 2)
    torch.manual_seed(0)
    measurement.measure(Bench(measurement.name, SIZES[sizes_name], folder))


def _failed(cause: str, details: list[str] | None = None) -> dict[str, Any]:
    return {"cause": cause, "details": details or []}


def _figures(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
