"""The table of base against trained: which steps it compares, and what it says where something is missing."""

import io

import pytest
from rich.console import Console

from vlaa_ray.config import TrackingSection
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.report import final_table
from vlaa_ray.report.headline import NO_EVAL, Comparison, headline, verdict
from vlaa_ray.run.reader import RecordedRun


def run_with(path, rows):
    tracker = Tracker(path, TrackingSection(tensorboard=False, wandb="disabled"), "demo", {})
    for step, metrics in rows:
        tracker.log(step, metrics)
    tracker.close()
    return RecordedRun.read(path)


def printed(run_dir):
    console = Console(file=io.StringIO(), width=100)
    console.print(final_table(run_dir))
    return console.file.getvalue()


def test_it_compares_step_0_with_the_last_evaluated_step(tmp_path):
    rows = [
        (0, {"eval/reward/mean": 0.5, "eval/reward/iou/mean": 0.4}),
        (10, {"eval/reward/mean": 0.9, "eval/reward/iou/mean": 0.8, "eval/benchmark/mathvista/accuracy": 0.3}),
        (20, {"eval/reward/mean": 0.625, "eval/reward/iou/mean": 0.3, "eval/benchmark/mathvista/accuracy": 0.35}),
        (21, {"reward/mean": 0.99}),
    ]
    result = headline(run_with(tmp_path, rows))
    assert result.last_step == 20
    assert [(line.name, line.base, line.trained) for line in result.lines] == [
        ("mean", 0.5, 0.625),
        ("iou", 0.4, 0.3),
        ("mathvista/accuracy", None, 0.35),
    ]
    text = printed(tmp_path)
    assert "+0.125" in text and "-0.100" in text and "step 20" in text and "–" in text


def test_the_margin_is_that_of_a_difference_of_two_means(tmp_path):
    # 1.96 * sqrt(0.3² / 100 + 0.4² / 400) = 1.96 * sqrt(0.0009 + 0.0004) = 0.070669
    before = {"eval/reward/mean": 0.5, "eval/reward/std": 0.3, "eval/reward/count": 100}
    after = {"eval/reward/mean": 0.6, "eval/reward/std": 0.4, "eval/reward/count": 400}
    (line,) = headline(run_with(tmp_path, [(0, before), (8, after)])).lines
    assert line.margin == pytest.approx(0.070669, abs=1e-6)
    assert "+0.100 ± 0.071" in printed(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (Comparison("mean", 0.5, 0.6), "better"),
        (Comparison("mean", 0.5, 0.4), "worse"),
        (Comparison("mean", 0.5, 0.6, 0.2), "same"),
        (Comparison("mean", 0.5, None), "same"),
        (Comparison("mean", None, 0.5), "same"),
    ],
)
def test_a_difference_counts_only_beyond_its_margin(line, expected):
    assert verdict(line) == expected


def test_only_the_base_model_was_evaluated(tmp_path):
    result = headline(run_with(tmp_path, [(0, {"eval/reward/mean": 0.5}), (1, {"reward/mean": 0.6})]))
    assert result.last_step is None and "no trained model" in result.caption
    assert (result.lines[0].base, result.lines[0].trained, result.lines[0].difference) == (0.5, None, None)


def test_the_base_model_was_not_evaluated(tmp_path):
    result = headline(run_with(tmp_path, [(5, {"eval/reward/mean": 0.5})]))
    assert "base model was not evaluated" in result.caption
    assert (result.lines[0].base, result.lines[0].trained) == (None, 0.5)


def test_no_evaluation_says_so(tmp_path):
    assert headline(run_with(tmp_path, [(1, {"reward/mean": 0.5})])).caption == NO_EVAL
    assert NO_EVAL in printed(tmp_path)


def test_an_evaluation_that_is_not_finite_shows_a_dash(tmp_path):
    result = headline(run_with(tmp_path, [(0, {"eval/reward/mean": 0.5}), (1, {"eval/reward/mean": float("nan")})]))
    assert result.lines[0].trained is None and "–" in printed(tmp_path)


def test_a_folder_that_is_not_there_is_an_error_with_a_fix(tmp_path):
    with pytest.raises(VlaaRayError, match="no such run folder"):
        final_table(tmp_path / "typo")
