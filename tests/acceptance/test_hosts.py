"""A real run on several hosts in a box: real engines and a real learner, private disks, hosts that come and go."""

import json

import pytest
from box import run_script, why_not

WHY_NOT = why_not()
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(660), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


def test_engines_on_hosts_that_join_are_killed_and_leave_cost_no_sample(tmp_path):
    output = run_script("hosts_scenario.py", tmp_path, timeout_s=600)
    seen = json.loads((tmp_path / "seen.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "quickstart/metrics.jsonl").read_text().splitlines()]
    print(output, f"{len(rows) - 1} steps")
    assert len(rows) > 12 and [row["step"] for row in rows] == list(range(len(rows)))
    for row in rows[1:]:
        ends = sum(value for name, value in row.items() if name.startswith(("ledger/trained", "ledger/dropped")))
        assert ends == 8 * 2 and row["groups/failed"] == 0 and row["staleness/max"] == 0
        assert row["logprob_diff/max_abs"] <= 1e-4, row["step"]
    assert rows[-1]["rollout/restarts"] == 1, "the host that was told to go does not count"
    assert seen["leave_s"] < 30
    state = json.loads((tmp_path / "quickstart/run.json").read_text())
    assert state["state"] == "interrupted" and state["step"] == rows[-1]["step"]
