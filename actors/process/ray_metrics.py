"""The metrics of a run and the health of its roles as gauges of Ray, which its metrics agents give to Prometheus.

    with exported(run, [fleet.health]):    # until the block ends
        …

Ray forgets a gauge that is not set again within some seconds. So all are set every few seconds while the run lives;
after its end they vanish by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vlaa_ray.monitoring.health import HEALTH, Values
from vlaa_ray.monitoring.prometheus import LiveValues, MetricFamily, Series, labelled
from vlaa_ray.monitoring.sinks import BackgroundSink, Sink
from vlaa_ray.run.session import RunSession
from vlaa_ray.services.circuit_breaker import failing_services

BEAT_S = 5.0
"""The seconds between two settings of all gauges; Ray keeps one that is not set for 10 to 20 seconds."""
_NAME = "the export of metrics"
Source = Callable[[], Values]
"""A function that returns health values by their names in the table of `monitoring.health`."""


@contextmanager
def exported(run: RunSession, sources: Sequence[Source]) -> Iterator[None]:
    """Export the metrics of the run and the health that the sources return, until the block ends.

    Ray must be connected. Nothing in here can stop or slow the run; see `BackgroundSink`.
    """
    with run.copying(_NAME, lambda: RayGauges(run.name, [run.health.values, *sources])):
        yield


def export_health(run: str, sources: Sequence[Source]) -> BackgroundSink:
    """Export the health that the sources return, as long as this process lives or until `finish` is set."""
    return BackgroundSink(_NAME, lambda: RayGauges(run, sources))


@contextmanager
def health_exported(run: str, sources: Sequence[Source]) -> Iterator[None]:
    """Export the health that the sources return until the block ends; Ray must be connected."""
    sink = export_health(run, sources)
    try:
        yield
    finally:
        sink.end(BEAT_S)


def service_health(failing_s: Mapping[str, float] | None = None) -> Values:
    """Return the health of the services that this process asks, or of those given."""
    services = failing_services() if failing_s is None else failing_s
    return {f"service/{name}/failing_s": seconds for name, seconds in services.items()}


class RayGauges(Sink):
    """The gauges of one run."""

    def __init__(self, run: str, sources: Sequence[Source]) -> None:
        self._run, self._sources = run, sources
        self._live = LiveValues()
        self._gauges: dict[MetricFamily, Any] = {}
        self._due = 0.0

    def write(self, row: dict[str, Any]) -> None:
        """Take the metrics of a step, and set all gauges."""
        self._live.update(row)
        self._set_all()

    def beat(self) -> None:
        """Set all gauges again if it is time."""
        if time.monotonic() >= self._due:
            self._set_all()

    def _set_all(self) -> None:
        self._due = time.monotonic() + BEAT_S
        for family, series in (self._live.series() | self._health()).items():
            if family not in self._gauges:
                self._gauges[family] = _gauge(family)
            for values, value in series.items():
                self._gauges[family].set(value, {"run": self._run, **dict(zip(family.labels, values, strict=True))})

    def _health(self) -> dict[MetricFamily, Series]:
        found: dict[MetricFamily, Series] = {}
        for source in self._sources:
            for name, value in source().items():
                family, values = labelled(name, HEALTH)
                found.setdefault(family, {})[values] = value
        return found


def _gauge(family: MetricFamily) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(family.name, description=family.help, tag_keys=("run", *family.labels))
