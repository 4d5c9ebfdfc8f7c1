"""Numbers as OpenTelemetry takes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, MeterProvider
from opentelemetry.metrics import Observation as OtelObservation

from outlast.engines.metrics import INSTRUMENTS, Instrument, InstrumentKind, Observation

__all__ = ["OpenTelemetryMeter"]

_log = logging.getLogger("outlast.metrics")

_meters: Final[WeakKeyDictionary[MeterProvider, OpenTelemetryMeter]] = WeakKeyDictionary()


class OpenTelemetryMeter:
    """Hands numbers to the instruments of a provider."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("outlast")
        self._counters: dict[Instrument, Counter] = {}
        self._histograms: dict[Instrument, Histogram] = {}
        self._known: dict[tuple[Instrument, tuple[str, ...]], Mapping[str, str]] = {}
        self._readers: list[Callable[[], Iterable[Observation]]] = []
        for each in INSTRUMENTS:
            match each.kind:
                case InstrumentKind.COUNTER:
                    self._counters[each] = meter.create_counter(each.name, each.unit, each.description)
                case InstrumentKind.HISTOGRAM:
                    self._histograms[each] = meter.create_histogram(
                        each.name, each.unit, each.description, explicit_bucket_boundaries_advisory=each.buckets
                    )
                case InstrumentKind.GAUGE:
                    callback = partial(self._observations, each)
                    meter.create_observable_gauge(each.name, [callback], each.unit, each.description)

    @classmethod
    def of(cls, provider: MeterProvider) -> OpenTelemetryMeter:
        """Return the meter of a provider: one for all apps, because a provider asks only the first of two gauges."""
        meter = _meters.get(provider)
        if meter is None:
            meter = _meters[provider] = cls(provider)
        return meter

    def add(self, instrument: Instrument, amount: int, *labels: str) -> None:
        """Add to a counter."""
        try:
            self._counters[instrument].add(amount, self._attributes(instrument, labels))
        except Exception:  # noqa: BLE001 - views and exemplars are foreign code: what they do must not end a run
            _log.exception("'%s' could not be counted", instrument.name)

    def record(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        try:
            self._histograms[instrument].record(value, self._attributes(instrument, labels))
        except Exception:  # noqa: BLE001 - as for `add`
            _log.exception("'%s' could not be recorded", instrument.name)

    def observe(self, read: Callable[[], Iterable[Observation]]) -> Callable[[], None]:
        """Ask for the values of gauges whenever the provider is read; what is returned ends that."""
        self._readers.append(read)
        return partial(self._readers.remove, read)

    def _observations(self, gauge: Instrument, _options: CallbackOptions) -> Iterator[OtelObservation]:
        for read in list(self._readers):
            for instrument, value, labels in read():
                if instrument is gauge:
                    yield OtelObservation(value, self._attributes(gauge, labels))

    def _attributes(self, instrument: Instrument, labels: tuple[str, ...]) -> Mapping[str, str]:
        attributes = self._known.get((instrument, labels))
        if attributes is None:
            attributes = self._known[instrument, labels] = dict(zip(instrument.labels, labels, strict=True))
        return attributes
