"""Every known record format in one run: files of all of them are mixed, and each is trained on in every step."""

import json

import pytest
from formats import COLORS, ROWS, variant, written
from quickstart import metrics, run_json, train

pytestmark = pytest.mark.integration


def test_a_mixture_of_all_formats_is_trained_on(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    sources = []
    for name, row in ROWS.items():
        folder = tmp_path / name.replace(" ", "_")
        rows = [variant(row, color) | {"id": f"{name}, {color}"} for color in COLORS]
        sources.append({"path": written(folder, *rows)})
    asked = {f"{name}, {color}" for name in ROWS for color in COLORS}
    options = [f"data.train={json.dumps(sources)}", "run.num_steps=2", f"rollout.prompts_per_step={len(asked)}"]
    options += ["rollout.group_size=2", "eval.num_prompts=4", f"tracking.rollouts_per_step={2 * len(asked)}"]
    result = train(tmp_path, *options, "rewards.open_ended.scorer=words", "checkpoint.every_steps=2")
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    run = tmp_path / "quickstart"
    assert run_json(tmp_path)["state"] == "finished"
    assert (run / "quarantine.jsonl").read_text() == ""
    for step in (1, 2):
        rollouts = [json.loads(line) for line in (run / f"rollouts/step_{step:06d}.jsonl").read_text().splitlines()]
        assert {row["prompt_id"] for row in rollouts} == asked
        assert len(rollouts) == 2 * len(asked) and all(row["valid"] for row in rollouts)
        pictures = {row["prompt_id"]: row["images"][0]["sha256"] for row in rollouts}
        assert len(set(pictures.values())) == len(COLORS)
    assert [row["reward/invalid_share"] for row in metrics(tmp_path)[1:]] == [0, 0]
