"""What the benchmarks share: runs of the quickstart as a user starts them, and tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/quickstart.yaml"
WARM_UP_STEPS = 2
FROZEN = "learner.optim.learning_rate=1.0e-20"
"""The override for a run whose weights stay as they are, so that every run does the same work."""


def train(folder: Path, *overrides: str) -> list[dict]:
    """The rows of metrics.jsonl of a quickstart with overrides, in a run folder of its own."""
    command = [sys.executable, "-m", "vlaa_ray", "train", "--config", str(CONFIG), f"run.dir={folder}", *overrides]
    subprocess.run([*command, "tracking.wandb=disabled"], cwd=ROOT, check=True, timeout=3600)
    (rows,) = folder.glob("*/metrics.jsonl")
    return [json.loads(line) for line in rows.read_text().splitlines()]


def without_evaluation(num_steps: int) -> list[str]:
    """Overrides for a run whose steps do nothing but sample, score, learn and synchronise."""
    return [f"run.num_steps={num_steps}", "eval.num_prompts=1", f"eval.every_steps={num_steps}",
            f"checkpoint.every_steps={num_steps}"]  # fmt: skip


def steady(rows: list[dict]) -> list[dict]:
    """The steps after the warm-up, without the last one, which evaluates and saves."""
    return rows[1 + WARM_UP_STEPS : -1]


def median(rows: list[dict], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def in_turn(kinds: Iterable[str], number: int) -> list[str]:
    """The kinds in the order of this turn, every other time backwards: a machine that slows down favours no kind."""
    return list(kinds)[:: 1 if number % 2 == 0 else -1]


def show(title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
    table = Table(title=title, caption=f"{note} {os.cpu_count()} CPU cores, {platform.machine()}.".strip())
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
