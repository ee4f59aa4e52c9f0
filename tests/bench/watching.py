"""What watching costs a step: the quickstart without rollouts on disk, as it is, and with vLLM's own metrics.

The kinds take turns, and the learning rate is so small that all runs do the same work.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from common import FROZEN, in_turn, median, show, steady, train, without_evaluation

KINDS = {
    "no rollouts on disk": ["tracking.rollouts_per_step=0", "tracking.tensorboard=false"],
    "the quickstart": [],
    "with vLLM's metrics": ["rollout.engine_metrics=true"],
}
NUM_STEPS = 25


def main(num_rounds: int = 3) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in KINDS}
    for number in range(num_rounds):
        for name in in_turn(KINDS, number):
            with tempfile.TemporaryDirectory() as folder:
                rows = steady(train(Path(folder), FROZEN, *KINDS[name], *without_evaluation(NUM_STEPS)))
            seconds[name].append(median(rows, "time/step_s"))
    usual = statistics.median(seconds["the quickstart"])
    table = [
        [name, ", ".join(f"{one:.2f}" for one in of_kind), f"{statistics.median(of_kind) / usual:.3f}"]
        for name, of_kind in seconds.items()
    ]
    show("Seconds a step, medians of runs in turn", ["", "runs", "of the quickstart"], table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
