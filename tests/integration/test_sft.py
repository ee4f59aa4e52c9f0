"""The recipes of the built-in models, shortened, on two ranks of Ray Train."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from metric_table import check_logged
from PIL import Image
from quickstart import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def train(command, config, folder, *more):
    overrides = [f"run.dir={folder}", "run.num_steps=4", "learner.num_ranks=2"]
    overrides += ["learner.num_threads=1", "learner.zero_stage=1", "checkpoint.every_steps=2"]
    overrides += ["eval.every_steps=2", "eval.num_prompts=8", "tracking.wandb=disabled", *more]
    command = [sys.executable, "-m", "vlaa_ray", command, "--config", str(ROOT / "configs" / config)]
    result = subprocess.run([*command, *overrides], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (file,) = folder.glob("*/metrics.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def sft(folder, *more):
    """On the built-in data and a file with one record in twenty that can't be read, and three that can't be learned."""
    rows = [said("1") for _ in range(20)]
    rows[6] |= {"image": "nowhere.png"}
    rows[7] |= {"image": "cut.png"}
    rows[8], rows[9] = said("<|im_end|>"), said("word " * 2000)
    out = io.BytesIO()
    Image.effect_noise((60, 50), 90).save(out, "PNG")
    (folder / "cut.png").write_bytes(out.getvalue()[:400])
    (folder / "said.json").write_text(json.dumps(rows))
    sources = f"data.train=[{{path: builtin:train, weight: 0.01}}, {{path: {folder / 'said.json'}, weight: 10}}]"
    return train("sft", "tiny_base_sft.yaml", folder, "sft.samples_per_step=8", sources, *more)


def said(what):
    turns = [{"from": "human", "value": "Say it."}, {"from": "gpt", "value": f"<CONCLUSION>{what}</CONCLUSION>"}]
    return {"conversations": turns}


WITH_REWARDS = ("eval.rewards=true", "eval.max_completion_tokens=16", "rollout.max_num_seqs=8")
NUM_SAMPLES = 280 + 10 * 19  # a hundredth of the built-in prompts; ten times the records that can be read
IN_EPOCHS = ("run.num_steps=null", f"run.num_epochs={30 / NUM_SAMPLES}")  # 30 samples fill 4 steps of 8


def check_heldout_rewards(run, metrics):
    """Answers of the model before the training, at step 2 and at the end are scored, each with its own weights."""
    evaluated = [row for row in metrics if "eval/reward/mean" in row]
    assert [row["step"] for row in evaluated] == [0, 2, 4]
    for row in evaluated:
        assert row["eval/reward/count"] + row["eval/reward/invalid_share"] * 8 == pytest.approx(8)
        assert 0 < row["eval/completion/mean_tokens"] <= 16 and "eval/loss" in row
    seconds = [row["time/heldout_rewards_s"] for row in evaluated]
    assert max(seconds[1:]) < seconds[0], "later evaluations start no engines"
    assert not (run / "heldout_model").exists()


def check_dropped(run, metrics):
    """Every one has its reason, and no more were counted."""
    dropped = [json.loads(line) for line in (run / "dropped.jsonl").read_text().splitlines()]
    assert {one["id"] for one in dropped} <= {"said.json:8", "said.json:9", "said.json:10"}
    reasons = {
        "said.json:8": "the image is damaged",
        "said.json:9": "holds the control token",
        "said.json:10": "over sft.",
    }
    assert all(reasons[one["id"]] in one["reason"] for one in dropped)
    counted = {row["step"]: row["samples/dropped"] for row in metrics}
    assert {step: sum(one["step"] == step for one in dropped) for step in counted} == counted
    assert dropped


def test_a_reward_model_is_trained_and_can_be_scored_with(tmp_path):
    from vlaa_ray.config import OpenEndedSection
    from vlaa_ray.data.builtin import BuiltinData
    from vlaa_ray.rewards.scorers import make_scorer

    rows = train("reward-model", "tiny_reward_model.yaml", tmp_path, "reward_model.samples_per_step=8")
    check_logged(tmp_path / "tiny-reward", "reward-model")
    assert rows[3]["policy/loss"] < rows[0]["policy/loss"]
    assert 0 <= rows[3]["eval/pairs/accuracy"] <= 1
    folder = tmp_path / "tiny-reward/checkpoints/step_000004/hf"
    scorer = make_scorer(OpenEndedSection(scorer="reward_model", model=str(folder), max_pixels=12544))
    prompt = BuiltinData("heldout", ["open_ended"])[0]
    assert all(result.valid and result.parts for result in scorer.score(prompt, [prompt.gold, "a circle"]))


def test_a_supervised_run_makes_a_model_and_a_resumed_one_takes_the_same_steps(tmp_path):
    from transformers import AutoModelForImageTextToText

    first = sft(tmp_path, *WITH_REWARDS)
    run = tmp_path / "tiny-base"
    assert [row["step"] for row in first] == [0, 1, 2, 3, 4]
    check_heldout_rewards(run, first)
    del first[0]
    (left_out,) = (run / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(left_out)["id"] == "said.json:7"
    check_dropped(run, first)
    check_logged(run, "sft")
    assert first[3]["eval/loss"] < first[1]["eval/loss"] < 10
    AutoModelForImageTextToText.from_pretrained(run / "checkpoints/step_000004/hf")
    shutil.rmtree(run / "checkpoints/step_000004")
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "finished"
    (run / "run.json").write_text(json.dumps(state | {"state": "failed"}))
    again = sft(tmp_path, *IN_EPOCHS)
    assert json.loads((run / "run.json").read_text())["num_steps"] == 4
    assert [row["step"] for row in again] == [0, 1, 2, 3, 4]
    del again[0]
    check_dropped(run, again)
    for one, other in zip(first[2:], again[2:], strict=True):
        for name in ("policy/loss", "policy/grad_norm", "learning_rate"):
            assert other[name] == pytest.approx(one[name], abs=1e-6), name
