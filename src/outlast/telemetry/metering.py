"""Which systems take the numbers of an app. None of them is imported unless somebody uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from outlast.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from outlast.engines.metrics import Instrument, Meter, Observation
    from outlast.telemetry.prometheus import Exposition

__all__ = ["Metering", "MetricsChoice"]

MetricsChoice: TypeAlias = "MeterProvider | bool | None"
"""None: the provider of the program, if it has configured one. True: the same, and it must have. False: no metrics.
Or a provider of its own."""

_SDK: Final = "opentelemetry.sdk.metrics"


class Metering:
    """Who takes the numbers of one app."""

    def __init__(self, choice: MetricsChoice) -> None:
        self._choice = choice
        self._exposition: Exposition | None = None

    def expose(self, state: str) -> Exposition:
        """Let the numbers be kept in this process, besides.

        Args:
            state: How far the app is.

        Raises:
            ConfigurationError: It is not new any more, or is to have no metrics; or something is not installed.
        """
        if self._exposition is None:
            if self._choice is False:
                message = "this app has metrics=False; leave it out to keep numbers"
                raise ConfigurationError(message)
            if state != "new":
                message = f"this app is {state}; its numbers are kept if that is asked for before it is entered"
                raise ConfigurationError(message)
            self._exposition = _make_exposition()
        return self._exposition

    def find(self) -> Meter | None:
        """Return what takes the numbers; None for nobody. No global is changed.

        Raises:
            ConfigurationError: Metrics were asked for and cannot be had; the message says what to do.
        """
        provider = _find_provider(self._choice)
        if provider is None:
            return self._exposition
        meter: Meter = import_module("outlast.telemetry.otel_metrics").OpenTelemetryMeter.of(provider)
        return meter if self._exposition is None else _Meters([meter, self._exposition])


def _find_provider(choice: MetricsChoice) -> MeterProvider | None:
    if choice is False or (choice is None and _SDK not in sys.modules):
        return None
    try:
        otel, sdk = import_module("opentelemetry.metrics"), import_module(_SDK)
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


def _make_exposition() -> Exposition:
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
