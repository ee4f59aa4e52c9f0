"""The recipe of the built-in model, shortened, on two ranks of Ray Train."""

import json
import shutil
import subprocess
import sys

import pytest
from quickstart import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def sft(folder):
    overrides = [f"run.dir={folder}", "run.num_steps=4", "sft.samples_per_step=8", "learner.num_ranks=2"]
    overrides += ["learner.num_threads=1", "learner.zero_stage=1", "checkpoint.every_steps=2"]
    overrides += ["eval.every_steps=2", "eval.num_prompts=8", "tracking.wandb=disabled"]
    command = [sys.executable, "-m", "vlaa_ray", "sft", "--config", str(ROOT / "configs/tiny_base_sft.yaml")]
    result = subprocess.run([*command, *overrides], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    lines = (folder / "tiny-base/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_supervised_run_makes_a_model_and_a_resumed_one_takes_the_same_steps(tmp_path):
    from transformers import AutoModelForImageTextToText

    first = sft(tmp_path)
    run = tmp_path / "tiny-base"
    assert [row["step"] for row in first] == [1, 2, 3, 4]
    assert first[3]["eval/loss"] < first[1]["eval/loss"] < 10
    AutoModelForImageTextToText.from_pretrained(run / "checkpoints/step_000004/hf")
    shutil.rmtree(run / "checkpoints/step_000004")
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "finished"
    (run / "run.json").write_text(json.dumps(state | {"state": "failed"}))
    again = sft(tmp_path)
    assert [row["step"] for row in again] == [1, 2, 3, 4]
    for one, other in zip(first[2:], again[2:], strict=True):
        for name in ("policy/loss", "policy/grad_norm", "learning_rate"):
            assert other[name] == pytest.approx(one[name], abs=1e-6), name
