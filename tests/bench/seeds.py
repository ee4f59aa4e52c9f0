"""The demo over three seeds: held-out reward of the base and of the trained model. Fails below +0.10 in any of them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from common import show, train

WANTED = 0.10


def main() -> int:
    gains, table = [], []
    for seed in (0, 1, 2):
        with tempfile.TemporaryDirectory() as folder:
            rows = [row for row in train(Path(folder), f"run.seed={seed}") if "eval/reward/mean" in row]
        base, trained = rows[0]["eval/reward/mean"], rows[-1]["eval/reward/mean"]
        gains.append(trained - base)
        table.append([str(seed), f"{base:.3f}", f"{trained:.3f}", f"{trained - base:+.3f}"])
    show("Held-out reward of the demo", ["seed", "base", "trained", "difference"], table)
    return int(min(gains) < WANTED)


if __name__ == "__main__":
    sys.exit(main())
