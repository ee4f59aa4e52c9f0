"""A GRPO run of simulated actors on Ray nodes that join, are killed and are told to go, in a box of its own."""

import json

import pytest
from box import run_script, why_not

WHY_NOT = why_not()
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    """(what was seen, the rows of the metrics, the output) of one run."""
    folder = tmp_path_factory.mktemp("elastic")
    output = run_script("elastic_scenario.py", folder, timeout_s=200)
    rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    return json.loads((folder / "seen.json").read_text()), rows, output


def test_replicas_follow_the_nodes_and_no_sample_is_lost(scenario):
    seen, rows, output = scenario
    assert [row["step"] for row in rows] == list(range(len(rows)))
    for row in rows[1:]:
        ends = sum(value for name, value in row.items() if name.startswith(("ledger/trained", "ledger/dropped")))
        assert ends == 6 * 2 and row["staleness/max"] == 0
    print({what: round(seconds, 1) for what, seconds in seen.items()})
    assert "is leaving: its 1 rollout actors leave with it" in output


def test_a_node_that_is_told_to_go_is_gone_soon_after_its_last_group(scenario):
    assert scenario[0]["leave_s"] < 5


def test_the_autoscaler_makes_nodes_up_to_its_limits_and_takes_away_those_without_a_replica(tmp_path):
    run_script("autoscaler_scenario.py", tmp_path, timeout_s=200)
    scaled = json.loads((tmp_path / "scaled.json").read_text())
    print(scaled)
    assert scaled["seen"]["three replicas"] < 30
    assert scaled["markets"] == ["on-demand", "spot", "spot"], "spot is full: the third one takes the fallback"
    assert scaled["most"] == {"spot": 2, "on-demand": 1} and scaled["waiting"] == 3
    assert scaled["answer"] > 0, "the node of the replica that was kept stays"
    assert "the autoscaler: " in scaled["line"]


@pytest.mark.acceptance
def test_a_node_that_joins_without_the_model_is_avoided_and_the_logs_of_another_disk_are_brought(tmp_path):
    output = run_script("other_disks_scenario.py", tmp_path, timeout_s=200)
    seen = json.loads((tmp_path / "seen.json").read_text())
    node = seen["without_model"][:8]
    (told,) = [line for line in output.splitlines() if f"node {node}" in line]
    assert "joined and is avoided: model: not seen by" in told and f"{tmp_path / 'models/m'} is not there" in told
    assert seen["replicas_before"] == 1
    line = f"an engine on node {seen['own_logs']}\n"
    assert seen["brought"] == line and seen["at_the_end"] == 2 * line
