"""Charts: their numbers, their words, and SVG that is well formed and takes the page's colours."""

import xml.etree.ElementTree as ElementTree

import pytest

from vlaa_ray.monitoring.names import describe
from vlaa_ray.report.curves import CHARTS, COLORS, INK, chart_svg, charts_of, smoothed, spoken, thinned
from vlaa_ray.report.timing import PHASES, phases_of, totals
from vlaa_ray.run.reader import RecordedRun


def chart(key):
    return next(chart for chart in CHARTS if chart.key == key)


def folder(tmp_path, rows):
    return RecordedRun(tmp_path, rows, {}, {}, ())


def test_thinning_keeps_every_value_in_its_mean():
    points = [(step, float(step)) for step in range(1200)]
    kept = thinned(points)
    assert len(kept) == 400 and kept[0] == (1.0, 1.0) and kept[-1] == (1198.0, 1198.0)
    assert thinned(points[:500]) == points[:500]


def test_the_moving_average_is_centred_and_shorter_at_the_ends():
    assert smoothed((0.0, 3.0, 6.0, 9.0), 3) == [1.5, 3.0, 6.0, 7.5]
    assert smoothed((1.0, 2.0), 1) == [1.0, 2.0]


def test_a_chart_in_words_has_the_first_and_the_last_value(tmp_path):
    run = folder(tmp_path, [{"step": 1, "policy/kl": 0.001}, {"step": 9, "policy/kl": 0.5}, {"step": 10}])
    assert spoken(run, chart("kl")) == "KL from the reference. 0.001 at step 1, 0.5 at step 9"


def kinds_of(chart):
    """The kinds of run that log any metric of the chart."""
    return {kind for name in chart.names for kind in describe(name).runs}


def test_charts_without_data_are_named_not_drawn(tmp_path):
    run = folder(tmp_path, [{"step": 1, "reward/mean": 0.5, "memory/learner_rss_bytes": 2.0**31}])
    drawn, missing = charts_of(run)
    assert [chart.title for chart in drawn] == ["Reward in training", "Resident memory by role"]
    assert "Held-out reward" in missing and len(missing) == len([one for one in CHARTS if "grpo" in kinds_of(one)]) - 1
    assert spoken(run, drawn[1]) == "Resident memory by role. learner: 2 at step 1, 2 at step 1"


def test_sources_are_drawn_where_there_are_several_and_the_largest_where_there_are_many(tmp_path):
    def chart_of(*sources):
        counts = {f"reward/by_source/{source}/count": float(size) for size, source in enumerate(sources, start=1)}
        means = {f"reward/by_source/{source}/mean": 0.5 for source in sources}
        drawn, missing = charts_of(folder(tmp_path, [{"step": 1, **counts, **means}]))
        assert "Reward in training by data source" not in missing
        return next((chart for chart in drawn if chart.key == "sources"), None)

    assert chart_of("coco") is None
    assert [label for label, _ in chart_of("b", "a").curves] == ["a", "b"]
    many = chart_of(*"abcdefghi")
    assert [label for label, _ in many.curves] == [*"cdefghi"] and many.note == "The 7 largest of 9 sources."


@pytest.mark.parametrize("key", ["types", "logprobs"])
def test_the_svg_is_well_formed_scales_and_takes_the_pages_ink(finished_run, key):
    svg = chart_svg(RecordedRun.read(finished_run), chart(key))
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox") and root.get("role") == "img" and root.get("width") is None
    assert root.get("aria-label").startswith(chart(key).title)
    assert INK not in svg and "currentColor" in svg and "<text" in svg and "<script" not in svg
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and not any(name.startswith(("figure_", "axes_")) for name in ids)


def luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#f6f7f9", "#1c2128"])
def test_every_colour_stands_out_on_light_and_dark(background):
    # WCAG 2.2, 1.4.11: 3:1 for graphics.
    for color in COLORS:
        low, high = sorted((luminance(color), luminance(background)))
        assert (high + 0.05) / (low + 0.05) >= 3.0, (color, background)


def test_a_chart_says_which_way_is_better_by_the_table():
    assert chart("heldout_loss").remark == "Lower is better."
    assert chart("eval").remark == "Step 0 is the base model. Higher is better."
    assert chart("kl").remark == ""


def test_charts_that_a_kind_of_run_never_has_are_not_called_missing(tmp_path):
    run = RecordedRun(tmp_path, [{"step": 1, "policy/loss": 2.0}], {}, {"sft": {}}, ())
    drawn, missing = charts_of(run)
    assert [chart.title for chart in drawn] == ["Loss"]
    assert "Held-out loss" in missing and not {"Held-out reward", "Staleness", "Pairs ranked correctly"} & set(missing)


@pytest.mark.parametrize("name", [name for _, name in PHASES])
def test_phases_name_entries_of_the_table(name):
    assert describe(name).unit == "s"


def test_other_is_what_the_phases_leave_of_a_step():
    row = {"time/step_s": 10.0, "time/rollout_s": 4.0, "time/learn_s": 5.0}
    assert phases_of(row) == {"rollout": 4.0, "learn": 5.0, "other": 1.0}
    assert "other" not in phases_of({"time/step_s": 5.0, "time/rollout_s": 4.0, "time/learn_s": 5.0})


def test_totals_are_seconds_and_shares_of_the_whole(tmp_path):
    rows = [
        {"step": 0, "eval/reward/mean": 0.5},
        {"step": 1, "time/step_s": 4.0, "time/rollout_s": 3.0, "time/learn_s": 3.0},  # overlapping
        {"step": 2, "time/step_s": 4.0, "time/rollout_s": 1.0, "time/learn_s": 1.0, "time/eval_s": 1.0},
    ]
    shares, whole = totals(folder(tmp_path, rows))
    assert whole == 8.0
    found = {share.phase: (share.seconds, share.share) for share in shares}
    assert found == {
        "rollout": (4.0, 0.5),
        "learn": (4.0, 0.5),
        "eval": (1.0, 0.125),
        "other": (1.0, 0.125),
    }
    assert shares[0].phase == "rollout"
    assert totals(folder(tmp_path, [])) == ([], 0)
