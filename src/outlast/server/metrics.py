"""What a server shows to Prometheus: its own numbers, and those of its app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from outlast.app import Outlast
from outlast.engines.metrics import Instrument, InstrumentKind, Observation
from outlast.errors import ConfigurationError
from outlast.server.streaming import Streams
from outlast.telemetry.prometheus import Exposition

__all__ = ["INSTRUMENTS", "Metrics"]

_REQUEST_DURATION: Final = Instrument(
    "http.server.request.duration",
    InstrumentKind.HISTOGRAM,
    "s",
    "How long it took until answers began.",
    ("http.request.method", "http.route", "http.response.status_code"),
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_OPEN_STREAMS: Final = Instrument(
    "outlast.http.streams", InstrumentKind.GAUGE, "{stream}", "Streams that are open now."
)
INSTRUMENTS: Final = (_REQUEST_DURATION, _OPEN_STREAMS)
"""What is measured of the server itself."""


class Metrics:
    """Measures answers by route: paths of requests are not counted, because there is no end of them."""

    def __init__(self, outlast: Outlast, streams: Streams) -> None:
        self._streams = streams
        self._http = Exposition(INSTRUMENTS)
        self._http.observe(self._read)
        self._app = _exposition_of(outlast)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer, and how long it took until it began."""
        self._http.record(_REQUEST_DURATION, seconds, method, route, str(status))

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all numbers as text, and the type of its content; OpenMetrics for those that accept it."""
        return self._http.render(accept) if self._app is None else self._http.render(accept, self._app)

    def _read(self) -> Iterator[Observation]:
        yield Observation(_OPEN_STREAMS, self._streams.open)


def _exposition_of(outlast: Outlast) -> Exposition | None:
    """Let the app keep its numbers; None if it was told not to, or is open and was not asked to."""
    try:
        return outlast.expose_metrics()
    except ConfigurationError:
        return None
