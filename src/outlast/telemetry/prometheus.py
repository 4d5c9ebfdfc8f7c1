"""Numbers as Prometheus reads them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder, start_http_server
from prometheus_client.registry import Collector

from outlast.engines.metrics import INSTRUMENTS, Instrument, InstrumentKind, Observation

__all__ = ["Exposed", "Exposition", "name_of"]

_UNITS: Final = {"s": "seconds", "By": "bytes"}
_OPENMETRICS: Final = "application/openmetrics-text"


def name_of(instrument: Instrument) -> str:
    """Return the name of an instrument in Prometheus: the one that exporters of OpenTelemetry give it."""
    name, unit = instrument.name.replace(".", "_"), _UNITS.get(instrument.unit)
    if unit is not None and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    return f"{name}_total" if instrument.kind is InstrumentKind.COUNTER else name


class _Sizes:
    """What a histogram knows of values with the same labels."""

    __slots__ = ("buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0


class Exposition:
    """Keeps numbers in this process, those of an app or of something else, for whoever asks.

    They are added up here and become metrics of `prometheus_client` when somebody asks: its own counters take a lock
    and several microseconds for each number, and each step has three.
    """

    def __init__(self, instruments: Sequence[Instrument] = INSTRUMENTS) -> None:
        self._instruments = instruments
        self._counts: dict[Instrument, dict[tuple[str, ...], int]] = {
            each: {} if each.labels else {(): 0} for each in instruments
        }
        self._sizes: dict[Instrument, dict[tuple[str, ...], _Sizes]] = {each: {} for each in instruments}
        self._readers: list[Callable[[], Iterable[Observation]]] = []

    def add(self, instrument: Instrument, amount: int, *labels: str) -> None:
        """Add to a counter."""
        counts = self._counts[instrument]
        counts[labels] = counts.get(labels, 0) + amount

    def record(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        sizes = self._sizes[instrument].get(labels)
        if sizes is None:
            sizes = self._sizes[instrument][labels] = _Sizes(instrument.buckets)
        sizes.buckets[bisect_left(instrument.buckets, value)] += 1
        sizes.total += value

    def observe(self, read: Callable[[], Iterable[Observation]]) -> Callable[[], None]:
        """Ask for the values of gauges whenever somebody looks; what is returned ends that."""
        self._readers.append(read)
        return partial(self._readers.remove, read)

    def collect(self) -> Iterator[Metric]:
        """Yield what is known, in the terms of `prometheus_client`. May be asked on any thread."""
        gauges: dict[Instrument, GaugeMetricFamily] = {}
        for each in self._instruments:
            name, labels = name_of(each), [label.replace(".", "_") for label in each.labels]
            match each.kind:
                case InstrumentKind.COUNTER:
                    counter = CounterMetricFamily(name, each.description, labels=labels)
                    for values, count in self._counts[each].copy().items():
                        counter.add_metric(values, count)
                    yield counter
                case InstrumentKind.HISTOGRAM:
                    histogram = HistogramMetricFamily(name, each.description, labels=labels)
                    for values, sizes in self._sizes[each].copy().items():
                        histogram.add_metric(values, _cumulated(each.buckets, sizes.buckets.copy()), sizes.total)
                    yield histogram
                case InstrumentKind.GAUGE:
                    gauges[each] = GaugeMetricFamily(name, each.description, labels=labels)
        for read in self._readers.copy():
            for instrument, value, values in read():
                gauges[instrument].add_metric(values, value)
        yield from gauges.values()

    def render(self, accept: str = "", *others: Collector) -> tuple[bytes, str]:
        """Return all numbers as text, and the type of its content.

        Args:
            accept: Which types whoever asks can read; Prometheus prefers OpenMetrics.
            others: What else is to be shown.
        """
        encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
        return encode(_Page([self, *others])), content_type

    def serve(self, port: int, *, host: str) -> Exposed:
        """Answer whoever asks, in a thread of its own, until that is stopped. Nobody is asked for a token.

        Args:
            port: Port to listen on; 0 for any that is free.
            host: Address to listen on.

        Raises:
            OSError: It cannot listen there.
        """
        return Exposed(*start_http_server(port, host, self))


class Exposed:
    """A small server for Prometheus."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server = server
        self._thread = thread
        host, port = str(server.server_address[0]), server.server_port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        """Where it answers."""

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Page:
    """Several collectors in the shape of one."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        """Yield what each of them knows."""
        for each in self._collectors:
            yield from each.collect()


def _cumulated(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return how many values each bound holds, those of the lower ones included."""
    return list(zip((*map(str, bounds), "+Inf"), accumulate(counts), strict=True))
