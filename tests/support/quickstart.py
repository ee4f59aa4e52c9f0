"""The quickstart's run, shortened, as a user starts it; and what of it is alive or left behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from processes import with_command

ROOT = Path(__file__).parents[2]
SMALL = [
    "run.num_steps=4",
    "rollout.num_actors=1",
    "rollout.prompts_per_step=8",
    "rollout.group_size=4",
    "rollout.max_num_seqs=32",
]
SMALL += ["eval.num_prompts=20", "eval.every_steps=4", "checkpoint.every_steps=2", "tracking.wandb=disabled"]
MARK = "VLAA_RAY_TEST"


PROGRAM = ("-m", "vlaa_ray")
SIMULATED = (str(ROOT / "tests/support/simulated_run.py"),)
"""The program with simulated actors; see `simulated_fleet`."""


def command(folder: Path, *overrides: str, program: tuple[str, ...] = PROGRAM) -> list[str]:
    arguments = ["train", "--config", str(ROOT / "configs/quickstart.yaml"), f"run.dir={folder}", *SMALL, *overrides]
    return [sys.executable, *program, *arguments]


def train(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *overrides), cwd=ROOT, capture_output=True, text=True, timeout=540)


def metrics(folder: Path) -> list[dict]:
    path = folder / "quickstart/metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def run_json(folder: Path) -> dict:
    return json.loads((folder / "quickstart/run.json").read_text())


class Running:
    """A run in the background; all of its processes carry a mark in their environment."""

    def __init__(
        self,
        folder: Path,
        *overrides: str,
        program: tuple[str, ...] = PROGRAM,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._mark = folder, f"{os.getpid()}-{time.time_ns()}"
        self._output = (folder / f"output-{self._mark}.txt").open("w+")
        self.driver = subprocess.Popen(
            command(folder, *overrides, program=program),
            cwd=ROOT,
            env=os.environ | {MARK: self._mark} | (environment or {}),
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def output(self) -> str:
        self._output.flush()
        return Path(self._output.name).read_text()

    def processes(self) -> list[psutil.Process]:
        """The driver, and everything that it has started and that still runs."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def actors(self, role: str) -> list[psutil.Process]:
        """Of `role` Learner, Rollout or Reward; Rank, Engine or Rewards where they are simulated."""
        return with_command(f"ray::{role}Actor", self.processes())

    def wait_for_step(self, step: int) -> None:
        self.wait_until(lambda: bool(rows := metrics(self.folder)) and rows[-1]["step"] >= step, f"step {step}")

    def wait_until(self, reached: Callable[[], bool], what: str, timeout_s: float = 400, every_s: float = 0.2) -> None:
        deadline = time.monotonic() + timeout_s
        while not reached():
            assert self.driver.poll() is None, f"the run ended before {what}:\n{self.output()[-3000:]}"
            assert time.monotonic() < deadline, f"no {what} within {timeout_s} s:\n{self.output()[-3000:]}"
            time.sleep(every_s)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def shared_memory() -> set[str]:
    """The names in shared memory, without the semaphores of the libraries that other tests use beside this one."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith("sem.loky-")}


def in_use(names: set[str]) -> set[str]:
    """Those of the names in shared memory that a living process has mapped; other tests may run beside this one."""
    used = set()
    for process in psutil.process_iter() if names else ():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            used |= names & {Path(mapped.path).name for mapped in process.memory_maps()}
    return used


@contextmanager
def running(folder: Path, *overrides: str, **options: Any) -> Iterator[Running]:
    """Start a run and yield it; it is killed at the end of the block. The options are those of `Running`."""
    run = Running(folder, *overrides, **options)
    try:
        yield run
    finally:
        run.driver.kill()
        run.driver.wait(30)
