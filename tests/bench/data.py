"""What reading and checking data costs a record, and how that grows; token counts; refusing a bomb.

    python tests/bench/data.py [NUM_RECORDS]

Records are many (200,000; NUM_RECORDS for a try), pictures few: each of them is decoded once, and read every time.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from common import CONFIG, show
from PIL import Image

from vlaa_ray.checks.data import check_data
from vlaa_ray.config import GrpoConfig, load_config
from vlaa_ray.data.readers import iterate_prompts
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.records import Prompt
from vlaa_ray.rewards.manager import RewardManager

NUM_PICTURES = 400
SMALL, LARGE = 10_000, 200_000
NUM_COUNTED = 10_000
REPEATS = 20


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    large = int(sys.argv[1]) if len(sys.argv) > 1 else LARGE
    small = min(SMALL, large // 2)
    config = load_config(CONFIG)
    with tempfile.TemporaryDirectory() as name, RewardManager(config.rewards) as rewards:
        folder = Path(name)
        pictures = make_pictures(folder / "images")
        files = [make_records(folder / f"{size}.jsonl", size, pictures) for size in (100, small, large)]
        checked = [check_s(file, rewards, config) for file in files][1:]  # the first one starts what is slow to start
        read = [timed(lambda file=file: sum(1 for _ in iterate_prompts(file, None))) for file in files[1:]]
        rows = [growth("reading", read, small, large), growth("checking, with a config", checked, small, large)]
        columns = ["", f"records/s of {small:,}", f"of {large:,}", "time a record, ratio"]
        show("Records", columns, rows, f"{NUM_PICTURES} different pictures; 1.0: nothing grows with the size.")
        count_s = timed(lambda: count_tokens(files[1], config))
        rows = [
            [f"prompt tokens of {min(small, NUM_COUNTED):,} records from image headers", f"{count_s:.1f} s", "20 s"]
        ]
        for kind in ("png", "jpg", "webp", "gif"):
            rows.append(
                [f"refusing 13,000 x 13,000 pixels: {kind}", f"{refuse_ms(folder / f'bomb.{kind}'):.1f} ms", "50 ms"]
            )
        show("Limits", ["", "taken", "wanted, at most"], rows)


def make_pictures(folder: Path) -> list[str]:
    """Half JPEG, half PNG, of 50 to 1,600 pixels a side."""
    folder.mkdir()
    rng, names = np.random.default_rng(0), []
    for number in range(NUM_PICTURES):
        width, height = np.exp(rng.uniform(np.log(50), np.log(1600), 2)).astype(int).tolist()
        colours = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        names.append(f"{number}.{('jpg', 'png')[number % 2]}")
        Image.fromarray(colours).resize((width, height)).save(folder / names[-1])
    return names


def make_records(file: Path, count: int, pictures: list[str]) -> Path:
    """Counting, options, boxes and texts by turns; every question is asked once."""
    golds = [("digit", 7), ("mcq", "B"), ("iou", [0.1, 0.2, 0.7, 0.5]), ("text", "a red bus")]
    with file.open("w") as opened:
        for number in range(count):
            kind, gold = golds[number % len(golds)]
            row = {"id": str(number), "image": pictures[number % len(pictures)], "gt": gold, "verifier_type": kind}
            row |= {"question": f"What is left of thing {number}, and which of both is larger?"}
            row |= {"verifier_params": {"frame": "unit"}} if kind == "iou" else {}
            opened.write(json.dumps(row) + "\n")
    return file


def check_s(file: Path, rewards: RewardManager, config: GrpoConfig) -> float:
    def check() -> None:
        report = check_data([file], config.data, rewards, config)
        if report.defects:
            raise SystemExit(f"{file.name}: {report.defects[0]}")

    return timed(check)


def count_tokens(file: Path, config: GrpoConfig) -> None:
    chat = chat_format_of(config.model)
    for _, read in islice(iterate_prompts(file, None), NUM_COUNTED):
        if isinstance(read, Prompt):
            chat.expanded_token_ids(read)


def refuse_ms(path: Path) -> float:
    Image.new("1" if path.suffix == ".png" else "L", (13_000, 13_000)).save(path, method=0)

    def refuse() -> None:
        try:
            reference(path)
        except DataError:
            return
        raise SystemExit(f"{path.name} was not refused")

    return 1000 * min(timed(refuse) for _ in range(REPEATS))


def timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def growth(name: str, seconds: list[float], small: int, large: int) -> list[str]:
    per_record = [seconds[0] / small, seconds[1] / large]
    return [name, *(f"{1 / one:,.0f}" for one in per_record), f"{per_record[1] / per_record[0]:.2f}"]


if __name__ == "__main__":
    main()
