"""The metric table held against what a finished run has really logged, in both directions."""

from pathlib import Path

from vlaa_ray.monitoring.names import METRICS, Kind, describe
from vlaa_ray.storage.metrics_file import read_metrics


def assert_table_is_true(run_dir: Path, kind: Kind) -> None:
    """Every logged name is an entry for this kind of run, and every entry without a condition was logged."""
    logged = {describe(name) for row in read_metrics(run_dir) for name in row}
    strangers = [entry.name for entry in logged if kind not in entry.runs]
    assert not strangers, f"a {kind} run logs names of other kinds: {strangers}"
    missing = [entry.name for entry in METRICS if kind in entry.runs and not entry.when and entry not in logged]
    assert not missing, f"no step of this {kind} run has logged: {missing}"
