"""Which systems take the traces and numbers of an app. None of them is imported unless somebody uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, cast

from outlast.engines.telemetry import Tracer
from outlast.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from outlast.engines.metrics import Instrument, Meter, Observation
    from outlast.telemetry.prometheus import Exposition

__all__ = ["MetricsChoice", "TracingChoice", "find_meter", "find_tracer", "make_exposition"]

TracingChoice: TypeAlias = "TracerProvider | bool | None"
"""None: the provider of the program, if it has configured one. True: the same, and it must have. False: no tracing.
Or a provider of its own."""

MetricsChoice: TypeAlias = "MeterProvider | bool | None"
"""The same for numbers."""

_SDK = "opentelemetry.sdk.trace"
_METRICS_SDK = "opentelemetry.sdk.metrics"


def find_tracer(choice: TracingChoice) -> Tracer | None:
    """Return what takes the spans of an app; None for nobody. No global is changed.

    Raises:
        ConfigurationError: Tracing was asked for and cannot be done; the message says what to do.
    """
    if choice is False or (choice is None and _SDK not in sys.modules):
        return None
    try:
        otel = import_module("outlast.telemetry.otel")
    except ImportError as error:
        message = "tracing needs the SDK of OpenTelemetry; install it with `pip install 'outlast[otel]'`"
        raise ConfigurationError(message) from error
    provider = import_module("opentelemetry.trace").get_tracer_provider() if isinstance(choice, bool | None) else choice
    if isinstance(provider, import_module(_SDK).TracerProvider):
        return cast("Tracer", otel.OpenTelemetryTracer(provider))
    if choice is None:
        return None
    if choice is True:
        message = "tracing=True, and this program has no tracer provider; call opentelemetry.trace.set_tracer_provider"
        raise ConfigurationError(f"{message} before the app is entered, or give one: Outlast(tracing=provider)")
    message = f"tracing={choice!r:.100}: give a TracerProvider of opentelemetry-sdk, True, or False"
    raise ConfigurationError(message)


def find_meter(choice: MetricsChoice, exposed: Sequence[Exposition]) -> Meter | None:
    """Return what takes the numbers of an app; None for nobody. No global is changed.

    Args:
        choice: What the app was told.
        exposed: What keeps the numbers in this process besides.

    Raises:
        ConfigurationError: Metrics were asked for and cannot be had; the message says what to do.
    """
    provider = _find_provider(choice)
    meters: list[Meter] = [*exposed]
    if provider is not None:
        meters.insert(0, import_module("outlast.telemetry.otel_metrics").OpenTelemetryMeter.of(provider))
    if len(meters) > 1:
        return _Meters(meters)
    return meters[0] if meters else None


def _find_provider(choice: MetricsChoice) -> MeterProvider | None:
    if choice is False or (choice is None and _METRICS_SDK not in sys.modules):
        return None
    try:
        otel, sdk = import_module("opentelemetry.metrics"), import_module(_METRICS_SDK)
    except ImportError as error:
        message = "metrics need the SDK of OpenTelemetry; install it with `pip install 'outlast[otel]'`"
        raise ConfigurationError(message) from error
    if not isinstance(choice, bool | None):
        is_one = isinstance(choice, otel.MeterProvider)
        if not is_one:
            message = f"metrics={choice!r:.100}: give a MeterProvider of OpenTelemetry, True, or False"
            raise ConfigurationError(message)
        return choice
    provider = otel.get_meter_provider()
    if isinstance(provider, sdk.MeterProvider):
        return cast("MeterProvider", provider)
    if choice is None:
        return None
    message = "metrics=True, and this program has no meter provider; call opentelemetry.metrics.set_meter_provider"
    raise ConfigurationError(f"{message} before the app is entered, or give one: Outlast(metrics=provider)")


def make_exposition() -> Exposition:
    """Return what keeps the numbers of an app for Prometheus.

    Raises:
        ConfigurationError: What it needs is not installed.
    """
    try:
        return cast("Exposition", import_module("outlast.telemetry.prometheus").Exposition())
    except ImportError as error:
        message = "numbers for Prometheus need its client; install it with `pip install 'outlast[prometheus]'`"
        raise ConfigurationError(message) from error


class _Meters:
    """Several that take the same numbers."""

    def __init__(self, meters: Iterable[Meter]) -> None:
        self._meters = tuple(meters)

    def add(self, instrument: Instrument, amount: int, *labels: str) -> None:
        """Add to a counter."""
        for each in self._meters:
            each.add(instrument, amount, *labels)

    def record(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        for each in self._meters:
            each.record(instrument, value, *labels)

    def observe(self, read: Callable[[], Iterable[Observation]]) -> Callable[[], None]:
        """Ask for the values of gauges whenever somebody looks; what is returned ends that."""
        ends = [each.observe(read) for each in self._meters]

        def end_all() -> None:
            for end in ends:
                end()

        return end_all
