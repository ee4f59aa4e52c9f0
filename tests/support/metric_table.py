"""The metric table against what a finished run has logged."""

import json
import re
from pathlib import Path

from vlaa_ray.monitoring.names import METRICS, describe


def check_logged(run: Path, kind: str) -> None:
    """Every logged name is an entry for this kind of run, and every entry without a condition has been logged."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = {name for row in rows for name in row}
    strange = {name for name in logged if kind not in describe(name).runs}
    assert not strange, f"entries say that {kind} runs don't log {sorted(strange)}"
    entries = {describe(name).name for name in logged}
    missing = {metric.name for metric in METRICS if kind in metric.runs and not metric.condition(kind)} - entries
    assert not missing, f"entries say that {kind} runs log {sorted(missing)}"
    assert all(re.fullmatch(r"[A-Za-z0-9_./-]+", name) for name in logged)
