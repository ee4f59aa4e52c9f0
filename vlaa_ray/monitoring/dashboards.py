"""The files of Grafana's dashboards, made from the panels: python -m vlaa_ray.monitoring.dashboards FOLDER.

It needs grafana-foundation-sdk, which is one of the project's tools for development; a run never imports this file.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from vlaa_ray.monitoring.panels import DASHBOARDS, GROUPS, RAY, Panel
from vlaa_ray.monitoring.prometheus import PREFIX

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH, _HEIGHT = 8, 8
_ALIVE = f"{RAY}{PREFIX}step_age_seconds"


def dashboards() -> dict[str, str]:
    """Return the dashboards as JSON, by the names of their files."""
    return {f"{name}.json": JSONEncoder(sort_keys=True, indent=1).encode(_built(name)) + "\n" for name in DASHBOARDS}


def _built(name: str) -> object:
    board = (
        dashboard.Dashboard(f"vlaa-ray: {name}")
        .uid(f"vlaa-ray-{name}")
        .tags(["vlaa-ray"])
        .description("Written by python -m vlaa_ray.monitoring.dashboards; changes here are lost with the next one.")
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("run")
            .label("Run")
            .datasource(_SOURCE)
            .query(f"label_values({_ALIVE}, run)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    )
    numbers = itertools.count(1)
    for group in DASHBOARDS[name]:
        board = board.with_row(dashboard.Row(group).id(next(numbers)))
        for panel in GROUPS[group]:
            board = board.with_panel(_panel(panel, next(numbers)))
    return board.build()


def _panel(panel: Panel, number: int) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .id(number)
        .title(panel.title)
        .description(panel.text)
        .datasource(_SOURCE)
        .span(_WIDTH)
        .height(_HEIGHT)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .placement(LegendPlacement.BOTTOM)
            .display_mode(LegendDisplayMode.LIST)
        )
    )
    if panel.unit:
        made = made.unit(panel.unit)
    for index, query in enumerate(panel.all_queries()):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(f"Q{index}")
        made = made.with_target(target)
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, text in dashboards().items():
        (folder / file_name).write_text(text, encoding="utf-8")
