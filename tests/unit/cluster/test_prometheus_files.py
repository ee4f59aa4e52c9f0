"""Dashboards and alerts: made from the table of metrics, checked by Prometheus itself, each alert with its entry."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vlaa_ray.monitoring.health import HEALTH
from vlaa_ray.monitoring.names import METRICS
from vlaa_ray.monitoring.panels import GROUPS
from vlaa_ray.monitoring.prometheus import family_of

CLUSTER = Path(__file__).parents[3] / "cluster"
FOLDER = CLUSTER / "prometheus"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
}
FAMILIES = {f"ray_{family_of(metric).name}": family_of(metric) for metric in (*METRICS, *HEALTH)}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: Debian's package prometheus has it")


def promtool(*arguments, cwd=FOLDER):
    done = subprocess.run([PROMTOOL, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@needs_promtool
def test_prometheus_takes_its_config_and_the_rules():
    promtool("check", "config", "prometheus.yaml")
    promtool("check", "rules", "rules.yaml")


@needs_promtool
def test_each_alert_fires_where_it_should_and_nowhere_else():
    promtool("test", "rules", "rules_test.yaml")


def test_each_alert_is_tested_firing_and_not_firing():
    seen = {(alert, fires) for alert in RULES for fires in (True, False)}
    for test in yaml.safe_load((FOLDER / "rules_test.yaml").read_text())["tests"]:
        seen.discard((test["name"].partition(":")[0], bool(test["promql_expr_test"][0]["exp_samples"])))
    assert not seen


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(alert):
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "meaning", "action", "runbook_url"} and all(notes.values())
    assert notes["runbook_url"] == f"cluster/README.md#{alert.lower()}"
    assert re.search(rf"^#### {alert}$", (CLUSTER / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_asks_for_names_and_labels_of_the_table(alert):
    expression = RULES[alert]["expr"]
    for name, selector in re.findall(r"(ray_vlaa_\w+)(?:\{([^}]*)\})?", expression):
        assert name in FAMILIES, name
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= {"run", *FAMILIES[name].labels}


@needs_promtool
def test_each_query_of_the_panels_is_one_that_prometheus_parses(tmp_path):
    queries = [query.expression for panels in GROUPS.values() for panel in panels for query in panel.all_queries()]
    rules = [{"record": f"query_{number}", "expr": expression} for number, expression in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", "queries.yaml", cwd=tmp_path)


def test_the_dashboards_are_those_of_the_panels():
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is missing: pip install -e '.[dev]'")
    from vlaa_ray.monitoring.dashboards import dashboards

    written = {path.name: path.read_text() for path in (CLUSTER / "grafana").glob("*.json")}
    assert written == dashboards(), "python -m vlaa_ray.monitoring.dashboards cluster/grafana"
