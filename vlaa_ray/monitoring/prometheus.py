"""The metrics of a run as Prometheus names them: one family for each row of the tables, with few series.

    family_of(metric)                      -> MetricFamily("vlaa_reward_by_type_mean", ("verifier_type",), …)
    live = LiveValues()
    live.update({"reward/iou/mean": 0.5})  # after each step
    live.series()                          -> {family: {("iou",): 0.5}}

`/` becomes `_`, a placeholder becomes a label, `_s` becomes `_seconds`; `{verifier_type}` leaves `by_type` behind, so
that a family never mixes the whole with its parts. All families are gauges, since a value is that of the last step: a
counter would stay behind after the run.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from vlaa_ray.monitoring.names import METRICS, Metric, describe, word_pattern

PREFIX = "vlaa_"
MOST_SOURCES = 20
"""The data sources that have series: those with the most samples so far."""
MOST_SERIES = 64
"""The series of any family in one run."""
_LABELS = {"name": "benchmark"}
_WHEN_DUE = ("eval/", "time/eval_s", "time/checkpoint_s", "time/heldout_rewards_s")
"""The metrics that only some steps log: they keep their value until the next such step."""
_SOURCE = re.compile(r"(?P<evaluated>eval/)?reward/by_source/(?P<source>[^/]+)/count")


class MetricFamily(NamedTuple):
    """A name with its labels, and what it means; its series differ in the values of the labels."""

    name: str
    labels: tuple[str, ...]
    help: str
    unit: str


Series = dict[tuple[str, ...], float]
"""Values of a family by the values of its labels."""


@cache
def family_of(metric: Metric) -> MetricFamily:
    """Return the family of a row of the tables."""
    labels = tuple(_LABELS.get(word, word) for word in re.findall(r"\{(\w+)\}", metric.name))
    name = re.sub(r"/?\{\w+\}", "", metric.name.replace("{verifier_type}", "by_type"))
    if name.endswith("/count"):  # Prometheus keeps this end for histograms
        name = name.removesuffix("count") + metric.unit
        name = name.removesuffix("groups") if name == "groups/groups" else name
    name = re.sub("_s$", "_seconds", re.sub("_per_s$", "_per_second", name)).strip("/").replace("/", "_")
    end = "_percent" if metric.unit == "%" else ""
    return MetricFamily(PREFIX + name + end, labels, f"{metric.meaning} ({metric.unit or 'no unit'})", metric.unit)


@cache
def labelled(name: str, table: tuple[Metric, ...] = METRICS) -> tuple[MetricFamily, tuple[str, ...]]:
    """Return the family of a concrete name such as `reward/iou/mean`, and the values of its labels.

    Raises:
        VlaaRayError: the table has no such name.

    """
    metric = describe(name, table)
    match = re.fullmatch(word_pattern(metric), name)
    return family_of(metric), match.groups() if match else ()


class LiveValues:
    """The newest value of each metric of a run."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._samples: dict[str, Counter[str]] = defaultdict(Counter)

    def update(self, metrics: Mapping[str, float | None]) -> None:
        """Take the metrics of a step; of those before, the ones stay that only some steps log."""
        for name, value in metrics.items():
            if value and (match := _SOURCE.fullmatch(name)):
                self._samples[match["evaluated"] or ""][match["source"]] += int(value)
        kept = {name: value for name, value in self._values.items() if name.startswith(_WHEN_DUE)}
        finite = {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
        self._values = kept | finite

    def series(self) -> dict[MetricFamily, Series]:
        """Return the series of each family: no more than `MOST_SERIES`, and none of small data sources."""
        shown = {
            prefix: {name for name, _ in count.most_common(MOST_SOURCES)} for prefix, count in self._samples.items()
        }
        found: dict[MetricFamily, Series] = defaultdict(dict)
        for name, value in self._values.items():
            family, values = labelled(name)
            sources = shown.get("eval/" if name.startswith("eval/") else "", set())
            is_small = "source" in family.labels and values[family.labels.index("source")] not in sources
            if not is_small and (values in found[family] or len(found[family]) < MOST_SERIES):
                found[family][values] = value
        return dict(found)
