"""The section on reasoning: its figures from the run's metrics by hand, and what is looked for on disk."""

import json

import pytest

from vlaa_ray.cli import main
from vlaa_ray.report import write_report
from vlaa_ray.report.study import Sought, study_of
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.text.openings import Openings


def test_phrases_are_added_up_and_compared_in_a_thousand_completions(make_run):
    study = study_of(RecordedRun.read(make_run()))
    assert (study.first, study.last) == ("steps 1 to 8", "steps 73 to 80")
    wait, check, *others = study.phrases
    # `wait` is logged `step` times in each of 80 steps of 480 completions
    assert (wait.phrase, wait.total) == ("wait", 80 * 81 // 2)
    assert wait.first == pytest.approx(1000 * sum(range(1, 9)) / (8 * 480))
    assert wait.last == pytest.approx(1000 * sum(range(73, 81)) / (8 * 480))
    assert (check.phrase, check.total) == ("i should check", 160)
    assert {line.total for line in others} == {0} and len(others) == 7


def test_each_type_has_its_first_and_last_steps(make_run):
    run = RecordedRun.read(make_run())
    (iou,) = [line for line in study_of(run).types if line.name == "iou"]
    rewards = [value for _, value in run.series("reward/iou/mean")]
    assert iou.reward == pytest.approx((sum(rewards[:8]) / 8, sum(rewards[-8:]) / 8))
    assert iou.reflection == pytest.approx((0.06 * 4.5 / 80, 0.06 * 76.5 / 80))  # 0.02 x 3 letters x the mean step / 80


def test_the_figures_and_their_words(make_run):
    figures = {chart.key: svg for chart, svg in study_of(RecordedRun.read(make_run())).figures}
    assert list(figures) == [
        "reflection",
        "reflection_share",
        "length_reward",
        "flat",
        "way",
    ]  # no SFT traces are named
    assert "wait: 1 at step 1, 80 at step 80" in figures["reflection"]
    assert "hmm" not in figures["reflection"]  # it never came
    assert "tokens and reward" in figures["way"]


def test_the_rollouts_on_disk_are_searched(make_run):
    run = make_run()
    file = run / "rollouts/step_000080.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["completion"] = "<think>Let me see. Hold on!</think>"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sought = Sought(["hold on", "one blue circle"], Openings(["One blue circle, I think"], 3))
    lines = study_of(RecordedRun.read(run), sought).kept
    # ten rollouts a step are kept of steps 1, 2 and 80, and few files are read, from each end
    assert [(line.what, line.first, line.last) for line in lines] == [
        ("hold on", (1, 30), (1, 30)),
        ("one blue circle", (29, 30), (29, 30)),
        ("the opening of an SFT trace", (29, 30), (29, 30)),
    ]
    page = write_report(run, sought).read_text()
    assert "29 of 30" in page and "the opening of an SFT trace" in page


def test_the_page_has_the_section_for_grpo_alone(make_run, make_supervised_run):
    page = write_report(make_run()).read_text()
    assert 'id="study"' in page and "i should check" in page and "Length against reward" in page
    assert 'id="study"' not in write_report(make_supervised_run("sft")).read_text()


def test_a_run_of_an_older_version_has_what_its_metrics_hold(make_run):
    run = make_run()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [{name: row[name] for name in row if "reflection" not in name and "correlation" not in name} for row in rows]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    study = study_of(RecordedRun.read(run))
    assert [chart.key for chart, _ in study.figures] == ["flat", "way"] and not study.phrases
    assert all(line.reflection == (None, None) for line in study.types)
    assert "Reasoning" in write_report(run).read_text()


def test_a_run_without_a_step_says_so(make_run):
    page = write_report(make_run(evaluate=False, num_steps=1, finished=False)).read_text()
    assert "No step with completions has been finished yet." in page


def test_the_command_takes_phrases_and_sft_data(make_run, tmp_path, capsys):
    run = make_run()
    turns = [{"from": "human", "value": "Say it."}, {"from": "gpt", "value": "One blue thing. <answer>1</answer>"}]
    (tmp_path / "sft.json").write_text(json.dumps([{"conversations": turns}]))
    options = ["--phrase", "one blue circle", "--phrase", " ", "--sft-data", str(tmp_path / "sft.json")]
    assert main(["report", str(run), *options, "--opening-words", "2"]) == 0
    page = (run / "report.html").read_text()
    assert page.count("30 of 30") == 4 and "the opening of an SFT trace" in page


def test_held_out_rewards_of_an_sft_run_are_in_its_report(make_supervised_run):
    run = make_supervised_run("sft")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows.insert(0, {"step": 0, "eval/loss": 2.7})
    for row in rows:
        if "eval/loss" in row:
            reward = 0.25 + row["step"] / 100
            row |= {"eval/reward/mean": reward, "eval/reward/std": 0.4, "eval/reward/count": 100}
            row |= {"eval/reward/iou/mean": reward / 2, "eval/reward/iou/count": 20, "eval/completion/mean_tokens": 9}
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = write_report(run).read_text()
    assert "Held-out reward" in page and "0.650" in page and "+0.400" in page and "loss per token" in page
