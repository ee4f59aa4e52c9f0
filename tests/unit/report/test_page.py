"""The page: whole and self-contained for a good run, clear for a broken one, and safe whatever a model writes."""

import json
from itertools import pairwise

import pytest
from metric_table import check_logged
from pages import NASTY, Page, assert_inert

from vlaa_ray.report import write_report
from vlaa_ray.report.page import flat


def page_of(run):
    return Page(write_report(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(finished_run):
    return Page((finished_run / "report.html").read_text(encoding="utf-8"))


def test_a_finished_run_has_its_result_its_curves_and_its_facts(finished):
    for text in ("finished", "last step 80", "+0.162 ± 0.035", "0.744", "Held-out reward", "builtin:train", "0.32.0"):
        assert text in finished.words, text
    figures = finished.tags.count("figure")
    assert figures == 23 and finished.tags.count("figcaption") == figures
    assert "There is no" not in finished.words


@pytest.mark.parametrize(
    ("kind", "said", "charts"),
    [
        ("sft", ("loss per token (lower is better)", "-0.750", "Held-out loss"), 7),
        ("reward-model", ("accuracy on pairs", "+0.225", "Pairs ranked correctly"), 6),
    ],
)
def test_a_supervised_run_has_its_own_figures_and_no_rewards(make_supervised_run, kind, said, charts):
    page = page_of(assert_true(make_supervised_run(kind), kind))
    for text in (*said, "Step 10", "Step 40", "Training on written answers has no rewards"):
        assert text in page.words, text
    assert page.tags.count("figure") == charts
    for text in ("Held-out reward", "Staleness", "Reward in training", "No step has been trained", "Verifier type"):
        assert text not in page.words, text
    better = [(tag, value) for tag, name, value in page.attributes if name == "class" and value == "num better"]
    assert better and not [value for _, _, value in page.attributes if value == "num worse"]


def assert_true(run, kind):
    """The run, once its made-up metrics are known to be those of its kind."""
    check_logged(run, kind)
    return run


def test_the_made_up_run_logs_what_a_real_one_does(finished_run):
    assert_true(finished_run, "grpo")


def test_pictures_are_inside_and_boxes_are_drawn_on_the_iou_ones(finished):
    images = [value for tag, name, value in finished.attributes if (tag, name) == ("img", "src")]
    assert len(images) == 20 and all(value.startswith("data:image/png;base64,") for value in images)
    boxes = [value for tag, name, value in finished.attributes if (tag, name) == ("rect", "class")]
    assert boxes.count("gold") == 4 and boxes.count("predicted") == 4
    spoken = [value for tag, name, value in finished.attributes if name == "aria-label" and "predicted box" in value]
    assert "predicted box from 0.05, 0.10 to 0.45, 0.60." in " ".join(spoken)


def test_nothing_is_fetched_and_nothing_runs(finished):
    assert_inert(finished)
    assert "@import" not in finished.style and "url(" not in finished.style


def test_it_can_be_read_without_seeing_it(finished):
    assert ("html", "lang", "en") in finished.attributes
    images = finished.tags.count("img")
    assert len([1 for tag, name, value in finished.attributes if (tag, name) == ("img", "alt") and value]) == images
    headings = [int(tag[1]) for tag in finished.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert finished.tags.count("caption") == finished.tags.count("table") == 8


def test_a_failed_run_says_why(make_run):
    page = page_of(make_run(finished=False))
    for text in ("Why the run ended", "LearnerError", "learner rank 1 died", "line 1", "failed", "last step 40"):
        assert text in page.words, text


def test_text_of_models_and_data_stays_text(make_run):
    run = make_run(num_steps=2, evaluate=False, rollouts=False)
    nasty = {key: NASTY for key in ("prompt_id", "source", "question", "gold", "completion", "extracted", "reason")}
    row = nasty | {"step": 1, "verifier_type": "mcq", "reward": 0.0, "finish_reason": NASTY, "parts": {NASTY: 1.0}}
    row["images"] = [{"path": NASTY}]
    think = row | {"completion": f"<think>{NASTY}</think><answer>{NASTY}", "reward": 1.0, "gold": {NASTY: [NASTY]}}
    (run / "rollouts" / "step_000001.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(think) + "\n")
    state = {"state": NASTY, "cause": {"type": NASTY, NASTY: [NASTY]}, "versions": {NASTY: NASTY}, NASTY: NASTY}
    (run / "run.json").write_text(json.dumps(state))
    (run / "config.yaml").write_text(json.dumps({"run": {"name": NASTY}, NASTY: NASTY, "model": {"path": NASTY}}))
    plain = page_of(make_run("plain", num_steps=2, evaluate=False, rollouts=False))
    page = page_of(run)
    assert not {"script", "iframe"} & set(page.tags)
    assert page.tags.count("style") == plain.tags.count("style") and page.tags.count("img") == plain.tags.count("img")
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert page.words.count("<script>alert(1)</script>") >= 15 and "{{ 7*7 }}" in page.words


def test_lone_surrogates_and_control_characters_do_not_stop_it(make_run):
    run = make_run(num_steps=1, evaluate=False, rollouts=False)
    row = {"step": 1, "verifier_type": "math", "reward": 0.5, "completion": "a\ud83d\x00\u202eb", "question": "\x1b[2J"}
    (run / "rollouts" / "step_000001.jsonl").write_text(json.dumps(row) + "\n")
    assert "reward 0.500" in page_of(run).words


def test_an_empty_folder_gives_a_page_that_says_what_is_missing(tmp_path):
    page = page_of(tmp_path)
    for text in (
        "no metrics.jsonl",
        "no run.json",
        "no config.yaml",
        "no held-out evaluation",
        "No step has been finished",
    ):
        assert text in page.words, text
    for text in ("No times were logged", "There are no rollouts"):
        assert text in page.words, text


def test_damaged_files_become_remarks(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\noops\n{"step": 2}\n')
    (tmp_path / "run.json").write_text("{")
    (tmp_path / "config.yaml").write_text("- a\n- b\n")
    words = page_of(tmp_path).words
    for text in ("metrics.jsonl can't be read", "run.json can't be read", "config.yaml doesn't hold a mapping"):
        assert text in words, text


def test_odd_values_in_metrics_do_not_stop_it(tmp_path):
    lines = ['{"step": 0, "eval/reward/mean": null, "x": "y"}', '{"step": 1, "reward/mean": NaN, "policy/kl": 0.1}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert "KL from the reference" in page_of(tmp_path).words


def test_flat_joins_keys_with_dots():
    assert flat({"run": {"seed": 0, "x": {"y": []}}, "empty": {}}) == {"run.seed": 0, "run.x.y": [], "empty": {}}
