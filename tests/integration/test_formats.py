"""Every known record format in one run, and every known defect: the sound ones are trained on in every step.

The run also asks a benchmark at each evaluation.
"""

import json
from collections import Counter

import pytest
from benchmark_files import write_benchmark_tsv
from formats import COLORS, CONVERSATIONS, ROWS, variant, written
from planted import PLANTED, rows, write_images, write_rows
from quickstart import metrics, run_json, train

from vlaa_ray.config import DataSection
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.records import Defect

pytestmark = pytest.mark.integration


def test_a_mixture_of_all_formats_and_defects_is_trained_on(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    sources = []
    layouts = ROWS | CONVERSATIONS
    for name, row in layouts.items():
        folder = tmp_path / name.replace(" ", "_")
        variants = [variant(row, color) | {"id": f"{name}, {color}"} for color in COLORS]
        sources.append({"path": written(folder, *variants)})
    sound = {f"{name}, {color}" for name in layouts for color in COLORS}
    write_images(tmp_path / "planted")
    planted = write_rows(tmp_path / "planted/data.jsonl", *rows())
    sources.append({"path": str(planted)})
    left_out: list[Defect] = []
    prompts = open_dataset(str(planted), DataSection(), None, quarantine=left_out)
    size = len(sound) + len(prompts)
    options = [f"data.train={json.dumps(sources)}", "run.num_steps=2", f"rollout.prompts_per_step={size}"]
    write_benchmark_tsv("MathVista", tmp_path / "MathVista_MINI.tsv", 12, 0)
    options.append(f"eval.benchmarks=[{{name: MathVista, data: {tmp_path}, num_rows: 8}}]")
    options.append("rollout.max_prompt_tokens=320")  # its questions are longer than the quickstart's
    options += ["rollout.group_size=2", "eval.num_prompts=4", f"tracking.rollouts_per_step={2 * size}"]
    result = train(tmp_path, *options, "rewards.open_ended.scorer=words", "checkpoint.every_steps=2")
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    run = tmp_path / "quickstart"
    assert run_json(tmp_path)["state"] == "finished"
    quarantined = [json.loads(line)["id"] for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert quarantined == [one.id for one in left_out] and len(quarantined) + len(prompts) == len(PLANTED) + 2
    dropped = [json.loads(line) for line in (run / "dropped.jsonl").read_text().splitlines()]
    for step in (1, 2):
        rollouts = [json.loads(line) for line in (run / f"rollouts/step_{step:06d}.jsonl").read_text().splitlines()]
        trained = Counter(row["prompt_id"] for row in rollouts)
        gone = Counter(row["id"] for row in dropped if row["step"] == step)
        asked = Counter([*sound, *(prompt.prompt_id for prompt in prompts)])
        assert Counter({one: count // 2 for one, count in trained.items()}) + gone == asked  # each in one state
        assert not sound & gone.keys() and all(row["valid"] for row in rollouts)
        gold_faults = {"no gold", "unreadable math", "odd letter", "nan box", "reversed box"}
        assert gold_faults | {"control", "long"} <= gone.keys()
        pictures = {row["prompt_id"]: row["images"][0]["sha256"] for row in rollouts if row["prompt_id"] in sound}
        assert len(set(pictures.values())) == len(COLORS)
        told = {row["prompt_id"].partition(",")[0] for row in rollouts if "history" in row and "system" in row}
        assert told == CONVERSATIONS.keys()
    assert [row["reward/invalid_share"] for row in metrics(tmp_path)[1:]] == [0, 0]
    benchmarks = [_of_benchmark(row) for row in metrics(tmp_path)]
    assert not benchmarks[1] and set(benchmarks[0]) == set(benchmarks[2])
    for scores in (benchmarks[0], benchmarks[2]):
        assert 0 <= scores["score"] <= 100 and 0 <= scores["unsettled_share"] <= 1


def _of_benchmark(row):
    prefix = "eval/benchmark/MathVista/"
    return {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
