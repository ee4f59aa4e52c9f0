"""The script for the first minutes on a GPU: it runs with small sizes on a CPU, and a failure costs one measurement."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

GPU = Path(__file__).parents[1] / "gpu"
NAMES = (
    "machine peaks varlen_parity fused as_shipped varlen unchecked ten_images vision_tower scoring masked_sdpa "
    "to_shared_memory collating compiled"
).split()


def python(*arguments, timeout_s=300):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *arguments], cwd=GPU, env=environment, capture_output=True, text=True, timeout=timeout_s
    )


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """What the script writes with its small sizes; the second of two measurements that trace layers is left out."""
    out = tmp_path_factory.mktemp("gpu") / "out.json"
    result = python("first_minutes.py", "--out", str(out), "--only", *NAMES)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return json.loads(out.read_text())


def figure(summary, name, figure):
    return {row["figure"]: row["value"] for row in summary["measurements"][name]["figures"]}[figure]


def test_every_measurement_comes_to_its_end(summary) -> None:
    assert list(summary["measurements"]) == NAMES and summary["failed"] == []
    assert all(measurement["figures"] for measurement in summary["measurements"].values())
    assert summary["device"] == "cpu" and summary["sizes"] == "small"


def test_all_ways_through_the_model_have_the_same_gradient(summary) -> None:
    """The dense mask, segments, the fused head and compiled layers compute the same thing."""
    norms = [figure(summary, name, "norm of the gradient") for name in ("as_shipped", "varlen", "fused", "compiled")]
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-4)
    assert figure(summary, "compiled", "graphs") <= 16  # not one for each layer


def test_a_wrong_alignment_would_show(summary) -> None:
    assert figure(summary, "varlen_parity", "output, error against dense fp32, bottom right") < 1e-5
    assert figure(summary, "varlen_parity", "output, error against dense fp32, top left") > 0.1


def test_a_failure_a_hang_and_a_crash_stop_no_other_measurement() -> None:
    code = """
    import json, os, time
    from harness import Measurement, measured

    def fails(bench):
        bench.note("before", 1.5, "s")
        raise ValueError("no such kernel")

    measurements = [
        Measurement("fails", fails, 60),
        Measurement("hangs", lambda bench: time.sleep(60), 2),
        Measurement("dies", lambda bench: os._exit(9), 60),
        Measurement("works", lambda bench: bench.note("after", 2.0), 60),
    ]
    print(json.dumps(measured(measurements, "small", 100)))
    """
    result = python("-c", textwrap.dedent(code))
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["fails"]["failure"]["cause"] == "ValueError: no such kernel"
    assert found["fails"]["figures"] == [{"figure": "before", "value": 1.5, "unit": "s"}]
    assert found["hangs"]["failure"]["cause"] == "not done within 2 s"
    assert found["dies"]["failure"]["cause"] == "the process ended with 9"
    assert found["works"]["failure"] is None and found["works"]["figures"][0]["value"] == 2.0
