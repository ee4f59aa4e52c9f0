"""`make demo` as the README shows it: 48 steps of 512 samples with real Ray, vLLM and DeepSpeed."""

import re
import subprocess
import sys

import pytest
from quickstart import ROOT, metrics, run_json

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3600)]


def rows(text: str) -> list[list[str]]:
    """The cells of the table's rows, without their borders."""
    found = [[cell.strip() for cell in line.strip().strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return [cells for cells in found if re.fullmatch(r"[a-z_]+", cells[0])]


def test_the_demo_gives_the_table_of_the_readme_to_the_last_digit(tmp_path):
    command = [sys.executable, "-m", "vlaa_ray", "train", "--config", "configs/quickstart.yaml", f"run.dir={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    expected = rows((ROOT / "README.md").read_text())
    assert len(expected) == 6 and rows(result.stdout) == expected, result.stdout[-2000:]
    assert run_json(tmp_path)["state"] == "finished"
    assert all(step["logprob_diff/max_abs"] <= 1e-4 for step in metrics(tmp_path)[1:])
