"""Rewards by verifier type and source, by hand."""

from pathlib import Path

import pytest

from vlaa_ray.report.breakdown import breakdown
from vlaa_ray.run.reader import RecordedRun


def run(*rows: dict[str, float]) -> RecordedRun:
    metrics = [{"step": step, "reward/count": 8.0} | row for step, row in enumerate(rows, start=1)]
    return RecordedRun(Path("."), metrics, {}, {}, ())


def row(mean: float, **more: float) -> dict[str, float]:
    return {"reward/iou/count": 8.0, "reward/iou/mean": mean, "reward/by_source/coco/count": 8.0} | more


def test_means_over_the_last_ten_steps_that_trained() -> None:
    steps = [row(0.0)] * 5 + [row(0.4)] * 5 + [row(0.6, **{"reward/iou/no_answer/unclosed": 0.5})] * 5
    found = breakdown(run(*steps))
    (line,) = found.types
    assert found.steps == "steps 6 to 15"
    assert (line.name, line.mean) == ("iou", pytest.approx(0.5))
    assert line.no_answer == pytest.approx(0.25) and line.why == "25.0% an <answer> that is never closed"
    assert line.invalid is None and line.seconds is None
    assert [line.name for line in found.sources] == ["coco"] and found.sources[0].no_answer is None


def test_types_of_users_come_last_and_nothing_trained_is_nothing() -> None:
    found = breakdown(run({"reward/chart/count": 1.0, "reward/math/count": 1.0, "time/reward/math_s": 0.25}))
    assert [(line.name, line.seconds) for line in found.types] == [("math", 0.25), ("chart", None)]
    assert found.steps == "step 1"
    assert breakdown(RecordedRun(Path("."), [], {}, {}, ())).types == ()
