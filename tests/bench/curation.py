"""What a curation costs a sample beside the teachers' time, how that grows, and its memory.

    python tests/bench/curation.py [LARGE]

First 2,000 and 20,000 built-in samples with real calls to the scripted teacher, for the memory. Then the same samples
again, once and over and over up to LARGE (200,000): every reply is known by then, so what is left is reading, Ray Data,
the steps, the recorded calls and writing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from common import ROOT, show

NUM_BUILTIN = 20_000
FEW, MANY, LARGE = 2_000, 20_000, 200_000
_POLL_S = 0.5
_ROLES = {"driver": "data curate", "worker": "ray::MapWorker", "caller": "vlaa_ray.curation.teacher_process"}


@dataclass
class Measured:
    seconds: float
    peak_bytes: dict[str, int]


def main() -> None:
    large = int(sys.argv[1]) if len(sys.argv) > 1 else LARGE
    few, many, small = (min(size, large) for size in (FEW, MANY, MANY // 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = {size: curate(folder, size) for size in (few, many)}
        nothing = curate(folder, 1)  # starting Ray and the others
        known = {size: curate(folder, size).seconds - nothing.seconds for size in (small, large)}
    peaks = {role: [asked[size].peak_bytes[role] for size in (few, many)] for role in _ROLES}
    rows = [
        [role, *(f"{one / 1e6:,.0f} MB" for one in both), f"{both[1] / both[0]:.2f}"] for role, both in peaks.items()
    ]
    show("Memory of a curation, most of it", ["process", f"{few:,} samples", f"{many:,}", "ratio"], rows)
    each = [known[size] / size for size in (small, large)]
    row = ["all replies known", *(f"{1 / one:,.0f}" for one in each), f"{each[1] / each[0]:.2f}"]
    columns = ["", f"samples/s of {small:,}", f"of {large:,}", "time a sample, ratio"]
    note = f"Start of {nothing.seconds:.0f} s not counted. With calls: {many / asked[many].seconds:,.0f} samples/s."
    show("Curation without the teachers' time", columns, [row], note)


def curate(folder: Path, size: int) -> Measured:
    """A run as a user starts it; all of them share their recorded calls."""
    values = yaml.safe_load((ROOT / "configs/curate_quickstart.yaml").read_text())
    whole, rest = divmod(size, NUM_BUILTIN)
    values["sources"] = [{"path": "builtin:train"}] * whole
    values["sources"] += [{"path": "builtin:train", "max_samples": rest}] if rest else []
    values |= {"run": {"name": "bench", "dir": str(folder)}, "unique_images": False, "budget": {}}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "vlaa_ray", "data", "curate", "--config", str(config)]
    start, peaks = time.monotonic(), dict.fromkeys(_ROLES, 0)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    while process.poll() is None:
        for role, rss in _resident():
            peaks[role] = max(peaks[role], rss)
        time.sleep(_POLL_S)
    if process.returncode or json.loads((folder / "bench/run.json").read_text())["state"] != "finished":
        raise SystemExit("the curation failed")
    return Measured(time.monotonic() - start, peaks)


def _resident() -> list[tuple[str, int]]:
    found = []
    for one in psutil.process_iter(["cmdline", "memory_info"]):
        line = " ".join(one.info["cmdline"] or [])
        found += [(role, one.info["memory_info"].rss) for role, words in _ROLES.items() if words in line]
    return found


if __name__ == "__main__":
    main()
