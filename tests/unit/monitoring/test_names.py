"""The metric table: no typo passes, every chart names entries, and the page is the table."""

from pathlib import Path

import pytest

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.names import ALL, METRICS, describe, metric_page
from vlaa_ray.report.curves import CHARTS

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == metric_page()


@pytest.mark.parametrize(
    "name", ["eval/mathvista", "eval/rewrad/mean", "eval/benchmark", "eval/benchmark/mathvista", "x"]
)
def test_other_names_are_errors(name) -> None:
    with pytest.raises(VlaaRayError, match="unknown metric"):
        describe(name)


def test_a_benchmark_has_a_name_and_a_figure() -> None:
    for name in ("eval/benchmark/mathvista/accuracy", "eval/benchmark/dynamath/worst_case/accuracy"):
        assert describe(name).name == "eval/benchmark/{name}/{figure}"


def test_charts_name_entries_only() -> None:
    for chart in CHARTS:
        assert chart.names and all(describe(name) for name in chart.names)


def test_every_entry_says_what_it_is() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert metric.meaning and set(metric.runs) <= set(ALL) and metric.runs
