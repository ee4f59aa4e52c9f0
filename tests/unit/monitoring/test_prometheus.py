"""The names that Prometheus gets, and how many series they may have."""

import math
import re

import pytest

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.health import CAUSES, HEALTH, PHASES, RunHealth
from vlaa_ray.monitoring.names import METRICS, describe
from vlaa_ray.monitoring.panels import DASHBOARDS, GROUPS
from vlaa_ray.monitoring.prometheus import MOST_SERIES, LiveValues, family_of, labelled
from vlaa_ray.roles import Phase


@pytest.mark.parametrize(
    ("name", "family", "labels"),
    [
        ("reward/mean", "vlaa_reward_mean", {}),
        ("reward/iou/mean", "vlaa_reward_by_type_mean", {"verifier_type": "iou"}),
        ("reward/by_source/coco.v2/count", "vlaa_reward_by_source_samples", {"source": "coco.v2"}),
        ("reward/mcq/no_answer/cut", "vlaa_reward_by_type_no_answer", {"verifier_type": "mcq", "why": "cut"}),
        ("eval/benchmark/WeMath/strict/score_1", "vlaa_eval_benchmark_percent",
         {"benchmark": "WeMath", "figure": "strict/score_1"}),
        ("groups/count", "vlaa_groups", {}),
        ("time/reward/iou_s", "vlaa_time_reward_by_type_seconds", {"verifier_type": "iou"}),
        ("throughput/rollout_tokens_per_s", "vlaa_throughput_rollout_tokens_per_second", {}),
        ("memory/learner_rss_bytes", "vlaa_memory_rss_bytes", {"role": "learner"}),
    ],
)  # fmt: skip
def test_a_name_of_the_table_has_a_family_and_labels(name, family, labels):
    found, values = labelled(name)
    assert found.name == family and dict(zip(found.labels, values, strict=True)) == labels


def test_families_are_valid_for_prometheus_and_differ():
    names = [family_of(metric).name for metric in (*METRICS, *HEALTH)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("vlaa(_[a-z0-9]+)+", name) for name in names)
    assert not [name for name in names if name.endswith(("_count", "_sum", "_bucket", "_total"))]
    labels = {label for metric in (*METRICS, *HEALTH) for label in family_of(metric).labels}
    assert "run" not in labels and all(re.fullmatch("[a-z_]+", label) for label in labels)


def test_the_help_has_meaning_and_unit():
    assert family_of(describe("time/step_s")).help.endswith("of the step before (s)")


def values_of(live, family):
    return {labels: value for found, series in live.series().items() if found.name == family
            for labels, value in series.items()}  # fmt: skip


def test_of_many_sources_the_largest_have_series_and_their_evaluation_is_counted_apart():
    live = LiveValues()
    sizes = {f"s{number}": 1 + number for number in range(30)}
    live.update(
        {f"reward/by_source/{name}/count": size for name, size in sizes.items()} | {"reward/by_source/s3/mean": 1}
    )
    live.update(
        {f"reward/by_source/{name}/count": size for name, size in sizes.items()}
        | {f"reward/by_source/{name}/mean": 0.5 for name in sizes}
        | {"eval/reward/by_source/s0/count": 2, "eval/reward/by_source/s0/mean": 0.25}
    )
    assert values_of(live, "vlaa_reward_by_source_mean") == {(f"s{number}",): 0.5 for number in range(10, 30)}
    assert values_of(live, "vlaa_eval_reward_by_source_mean") == {("s0",): 0.25}


def test_no_family_has_more_series_than_its_bound():
    live = LiveValues()
    live.update({f"completion/reflection/phrase_{number}/count": 1 for number in range(500)})
    assert len(values_of(live, "vlaa_completion_reflection_times")) == MOST_SERIES


def test_a_step_replaces_the_one_before_but_an_evaluation_stays():
    live = LiveValues()
    live.update({"step": 1, "ledger/dropped/failed": 4, "eval/reward/mean": 0.5, "policy/loss": 1.0})
    live.update({"step": 2, "policy/loss": math.nan, "policy/kl": None})
    assert {family.name: series for family, series in live.series().items()} == {
        "vlaa_step": {(): 2.0},
        "vlaa_eval_reward_mean": {(): 0.5},
    }


def test_a_name_that_no_table_has_is_an_error():
    with pytest.raises(VlaaRayError, match="unknown metric"):
        labelled("phase_age_s")  # it is in the table of health
    assert labelled("phase_age_s", HEALTH)[0].name == "vlaa_phase_age_seconds"


def test_the_health_of_a_run_is_in_its_table_and_follows_what_happens(tmp_path):
    health = RunHealth(tmp_path, 10, 8, {"logprob_diff/max_abs": 0.001})
    assert health.values()["phase/start"] == 1 and "goodput" not in health.values()
    health.phase("weight sync")
    health.step({"time/step_s": 0.0})
    values = health.values()
    for name in values:
        labelled(name, HEALTH)
    assert values["phase/weight_sync"] == 1 and values["phase/start"] == 0
    assert sum(values[f"phase/{phase.replace(' ', '_')}"] for phase in PHASES) == 1
    assert (values["steps_planned"], values["group_size"]) == (10, 8)
    assert values["limit/logprob_diff/max_abs"] == 0.001
    assert 0 <= values["disk/run_folder/free_share"] <= 1 and values["goodput"] == 0
    assert values["checkpoint_age_s"] < 60, "without a checkpoint it is the time since the start"


def test_goodput_leaves_out_evaluation_and_checkpoints(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("vlaa_ray.monitoring.health.time.monotonic", lambda: now[0])
    health = RunHealth(tmp_path, 10, 8, {})
    now[0] += 20
    health.step({"time/step_s": 10.0, "time/eval_s": 4.0, "time/checkpoint_s": 1.0})
    assert health.values()["goodput"] == pytest.approx(5 / 20)


def test_the_phases_are_those_of_a_run():
    assert set(PHASES) == set(Phase.__args__) and len(CAUSES) == 4


def test_every_row_of_the_tables_is_in_a_panel_and_every_group_on_a_dashboard():
    drawn = {name for panels in GROUPS.values() for panel in panels for name in panel.names}
    assert drawn == {metric.name for metric in (*METRICS, *HEALTH)}
    assert sorted(group for groups in DASHBOARDS.values() for group in groups) == sorted(GROUPS)
    assert GROUPS["Learning"][1].all_queries()[0].expression == (
        'max by (run, verifier_type) (ray_vlaa_reward_by_type_mean{run=~"$run"})'
    )
