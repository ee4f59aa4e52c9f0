"""An evaluation of the small model as a user starts it: benchmarks and records, killed in the middle and resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from benchmark_files import write_benchmark_tsv
from quickstart import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
NUM_ROWS = 120


def command(data, out):
    names = ["--benchmark", "MathVista", "--benchmark", "DynaMath", "--benchmark", "builtin:heldout"]
    options = ["--config", str(ROOT / "configs/eval/quickstart.yaml"), "--data", str(data), "--out", str(out)]
    options += ["--num-rows", str(NUM_ROWS), "rollout.max_num_seqs=16"]  # few at once: a kill finds it in the middle
    return [sys.executable, "-m", "vlaa_ray", "eval", "--model", "builtin", *names, *options]


def evaluate(data, out):
    return subprocess.run(command(data, out), cwd=ROOT, capture_output=True, text=True, timeout=300)


def kill_in_the_middle(data, out):
    """Start the evaluation, kill it with SIGKILL when some answers are written; return their number."""
    answers = out / "answers.jsonl"
    log = (out.parent / "killed.txt").open("w")
    with subprocess.Popen(command(data, out), cwd=ROOT, stdout=log, stderr=log) as process:
        deadline = time.monotonic() + 240
        while not answers.is_file() or answers.read_bytes().count(b"\n") < NUM_ROWS // 4:
            assert process.poll() is None and time.monotonic() < deadline, (out.parent / "killed.txt").read_text()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    return answers.read_bytes().count(b"\n")


def keys(out):
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    return [(row["benchmark"], row["index"], row["sample"]) for row in rows]


def test_a_killed_evaluation_resumes_by_row_to_the_same_result(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_benchmark_tsv("MathVista", data / "MathVista_MINI.tsv", NUM_ROWS, 0)
    write_benchmark_tsv("DynaMath", data / "DynaMath.tsv", NUM_ROWS, 1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    result = evaluate(data, whole)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "conditions quickstart" in " ".join(result.stdout.split()) and (whole / "page.html").is_file()
    assert 0 < kill_in_the_middle(data, killed) < 3 * NUM_ROWS
    result = evaluate(data, killed)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "have been answered before" in result.stdout
    assert len(keys(killed)) == len(set(keys(killed))) == 3 * NUM_ROWS
    assert sorted(keys(killed)) == sorted(keys(whole))
    assert (killed / "rows.jsonl").read_text() == (whole / "rows.jsonl").read_text()
    results = [json.loads((out / "result.json").read_text()) for out in (whole, killed)]
    assert results[0]["benchmarks"] == results[1]["benchmarks"]
    assert results[0]["benchmarks"]["heldout"]["scores"]["reward"]["value"] > 20  # the small model has learned these
    for entry in results[0]["benchmarks"].values():
        assert sum(entry["settled"].values()) == NUM_ROWS and entry["settled"]["unanswered"] == 0
