"""Takes the numbers of apps as OpenTelemetry does, and looks them up."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from outlast.engines.metrics import Instrument

__all__ = ["Numbers"]


class Numbers:
    """A provider, and what it was given."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])

    def of(self, instrument: Instrument) -> dict[tuple[str, ...], float]:
        """Return the values of a counter or gauge, or how many a histogram has, by labels."""
        return {labels: getattr(point, "count", None) or point.value for labels, point in self._points(instrument)}

    def sum_of(self, instrument: Instrument) -> float:
        """Return what the values of a histogram add up to."""
        return sum(point.sum for _, point in self._points(instrument))

    def total(self, instrument: Instrument) -> float:
        """Return the same as `of`, whatever the labels."""
        return sum(self.of(instrument).values())

    def _points(self, instrument: Instrument) -> list[tuple[tuple[str, ...], Any]]:
        data = self._reader.get_metrics_data()
        return [
            (tuple(str((point.attributes or {})[label]) for label in instrument.labels), point)
            for of_resource in ([] if data is None else data.resource_metrics)
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            if metric.name == instrument.name
            for point in metric.data.data_points
        ]
