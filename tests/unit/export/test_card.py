"""The model card: header, base and licence, data and counts, scores with their conditions, settings."""

import json

import pytest
import yaml
from trained import FINGERPRINT, make_run

from vlaa_ray.config import SftConfig
from vlaa_ray.errors import DataError
from vlaa_ray.export.card import model_card
from vlaa_ray.export.lineage import base_model, licence_of
from vlaa_ray.export.scores import read_scores
from vlaa_ray.run.model_source import resolve_model

RESULT = {
    "model": {"name": "trained-step_000004", "path": "runs/trained", "kind": "checkpoint", "weight_version": 4},
    "created": "2026-01-02T03:04:05+00:00",
    "version": "0.1.0",
    "conditions": {
        "name": "paper",
        "system_prompt": "Think | first.",
        "style": "paper",
        "temperature": 0.6,
        "num_samples": 1,
        "judge": {"model": "grader", "url": "http://inside.example.org/v1"},
    },
    "benchmarks": {
        "MathVista": {
            "num_rows": 1000,
            "num_samples": 1,
            "headline": "overall",
            "settled": {"rule": 900, "judge": 90, "unsettled": 10, "unanswered": 0},
            "scores": {"overall": {"value": 61.24, "low": 58.2, "high": 64.2}},
            "categories": {},
        }
    },
    "mean_of_six": None,
}


def card_of(runs, *overrides, scores=(), name="model"):
    make_run(runs, *overrides)
    source = resolve_model("trained", runs)
    return model_card(name, source, base_model(source.checkpoint), scores)


def header(card):
    start, text, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(text)


def rows(card):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:1] == "|"]


def test_the_header_has_what_the_hub_reads(tmp_path):
    found = header(card_of(tmp_path))
    assert found["license"] == "apache-2.0"  # of the built-in base
    assert (found["library_name"], found["pipeline_tag"]) == ("transformers", "image-text-to-text")
    assert {"vlaa-ray", "grpo"} <= set(found["tags"])
    assert "base_model" not in found  # the built-in model is not on the hub


def test_data_counts_and_scores_are_those_of_the_run(tmp_path):
    card = card_of(tmp_path)
    for text in (
        "Records that could be used for training: 20,000",
        "4 steps of 64 prompts with 8 sampled answers each",
        "Records left out because they can't be used: 3",
        FINGERPRINT,
        "Versions: torch 2.13.0",
        "the first 100 of `builtin:heldout`, one answer each at temperature 0, at most 48 tokens",
    ):
        assert text in card
    # 1.96 · sqrt(0.4²/100 + 0.3²/100) = 0.098; the evaluation of step 8 is later than the checkpoint of step 4
    assert ["mean", "0.500", "0.750", "+0.250 ± 0.098"] in rows(card)
    assert "0.990" not in card
    assert ["`grpo.aggregation`", "dapo"] in rows(card) and ["`run.seed`", "0"] in rows(card)


def test_a_run_of_sft_has_its_loss_and_its_own_counts(tmp_path):
    losses = ({"step": 0, "eval/loss": 2.5}, {"step": 4, "eval/loss": 0.5})
    make_run(tmp_path, config_file="tiny_base_sft.yaml", kind=SftConfig, metrics=losses)
    source = resolve_model("trained", tmp_path)
    card = model_card("model", source, base_model(source.checkpoint))
    assert ["loss per token (lower is better)", "2.500", "0.500", "-2.000"] in rows(card)
    assert "the first 100 of `builtin:heldout`, with their worked answers." in card and "at temperature" not in card
    assert "trained with SFT" in card and "sft" in header(card)["tags"]
    assert "4 steps of 64 worked answers" in card


def test_the_system_prompt_is_shown_whole_and_paths_of_the_machine_are_not(tmp_path):
    data = tmp_path / "secret-place/train.jsonl"
    data.parent.mkdir()
    data.write_text("{}\n")
    card = card_of(tmp_path, "model.system_prompt=Think ``` twice.", f"data.train={data}")
    assert "````text\nThink ``` twice.\n````" in card
    assert "`train.jsonl`" in card
    assert str(tmp_path) not in card and "secret-place" not in card


def test_a_base_of_the_hub_is_named_and_its_licence_is_unknown_until_its_readme_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    card = card_of(tmp_path, "model.path=Someone/Some-VL-1B")
    assert header(card)["base_model"] == "Someone/Some-VL-1B"
    assert header(card)["license"] == "unknown" and "The licence of the base model is unknown" in card
    assert "[Someone/Some-VL-1B](https://huggingface.co/Someone/Some-VL-1B)" in card


def test_the_licence_comes_from_the_bases_readme_or_config(tmp_path):
    assert licence_of(tmp_path) == "unknown"
    (tmp_path / "config.json").write_text(json.dumps({"license": "MIT"}))
    assert licence_of(tmp_path) == "mit"
    (tmp_path / "README.md").write_text("---\nlicense: other\ntags: [a]\n---\n# Base\n")
    assert licence_of(tmp_path) == "other"
    (tmp_path / "README.md").write_text("---\nlicense: 'a b\n<script>'\n---\n")
    assert licence_of(tmp_path) == "mit"


def test_earlier_runs_are_followed_back_to_the_base(tmp_path):
    first = make_run(tmp_path, name="first")
    second = make_run(tmp_path, f"model.path={first}/checkpoints/step_000004/hf", step=8, name="second")
    base = base_model(second / "checkpoints/step_000008")
    assert base.name == "builtin:tiny-base"
    assert base.stages == ("GRPO run first, step 4", "GRPO run second, step 8")


def test_benchmarks_come_with_conditions_intervals_and_how_rows_were_settled(tmp_path):
    make_run(tmp_path)
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/result.json").write_text(json.dumps(RESULT))
    scores = read_scores(tmp_path / "eval", resolve_model("trained", tmp_path))
    card = card_of(tmp_path, scores=(scores,))
    row = next(row for row in rows(card) if row[0] == "MathVista")
    assert row == [
        *("MathVista", "overall", "61.2", "58.2 to 64.2", "1,000 x 1", "rule 900, judge 90, unsettled 10"),
    ]
    assert "Conditions: name paper, style paper, temperature 0.6, num_samples 1, judge grader." in card
    assert "inside.example.org" not in card
    assert "```text\nThink | first.\n```" in card
    (result,) = header(card)["model-index"][0]["results"]
    assert (result["dataset"]["name"], result["metrics"][0]["value"]) == ("MathVista", 61.24)


def test_scores_of_another_checkpoint_or_in_another_form_are_refused(tmp_path):
    make_run(tmp_path)
    source, file = resolve_model("trained", tmp_path), tmp_path / "result.json"
    with pytest.raises(DataError, match="not the folder of an evaluation"):
        read_scores(tmp_path, source)
    file.write_text(json.dumps(RESULT | {"model": RESULT["model"] | {"weight_version": 2}}))
    with pytest.raises(DataError, match="another checkpoint"):
        read_scores(tmp_path, source)
    file.write_text(json.dumps(RESULT | {"benchmarks": {"MathVista": {"num_rows": "many"}}}))
    with pytest.raises(DataError, match=r"benchmarks\.MathVista\.num_rows"):
        read_scores(tmp_path, source)


def test_foreign_texts_break_neither_table_nor_page(tmp_path):
    name = "A|B <b>"
    result = RESULT | {"benchmarks": {name: RESULT["benchmarks"]["MathVista"]}, "version": "1 | <i>"}
    make_run(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps(result))
    card = card_of(tmp_path, scores=(read_scores(tmp_path, resolve_model("trained", tmp_path)),))
    page = card.split("---\n", 2)[2]
    assert "A\\|B &lt;b>" in page and "<b>" not in page and "<i>" not in page
