"""A live run watched by Debian's Prometheus, in a box: every panel and every alert has data, and none after the end."""

import json

import pytest
from box import run_script, why_not
from prometheus_server import why_not as why_no_prometheus

WHY_NOT = why_not() or why_no_prometheus()
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    run_script("watched_scenario.py", folder, timeout_s=330)
    return json.loads((folder / "seen.json").read_text())


def test_every_query_has_data_a_minute_after_the_last_step(seen):
    without = [expression for expression, count in seen["alive"].items() if not count]
    assert not without
    print(f"{len(seen['alive'])} queries, {seen['series']} series of ours")
    assert seen["series"] <= 2000


def test_an_engine_that_was_lost_is_counted_and_raises_no_alert(seen):
    assert [{"role": "rollout", "cause": "died"}, 1.0] in seen["losses"]
    print(seen["alerts"])


def test_nothing_is_left_after_the_end_of_the_run(seen):
    assert seen["after"] == []


def test_the_dashboard_of_engines_has_data_of_a_real_engine(tmp_path):
    run_script("engine_metrics_scenario.py", tmp_path, timeout_s=300)
    seen = json.loads((tmp_path / "seen.json").read_text())
    print(f"{seen['series']:.0f} series of vLLM")
    assert not [expression for expression, count in seen["counts"].items() if not count]
