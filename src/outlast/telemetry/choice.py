"""Which tracing system an app uses. Nothing of OpenTelemetry is imported unless somebody uses it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, cast

from outlast.engines.telemetry import Tracer
from outlast.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["TracingChoice", "find_tracer"]

TracingChoice: TypeAlias = "TracerProvider | bool | None"
"""None: the provider of the program, if it has configured one. True: the same, and it must have. False: no tracing.
Or a provider of its own."""

_SDK = "opentelemetry.sdk.trace"


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
