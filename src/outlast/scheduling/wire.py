"""What is said of a schedule, as JSON: keys in camelCase, times in milliseconds. Servers and clients say it alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

from outlast.instant import from_ms
from outlast.scheduling.schedule import Schedule
from outlast.values import JsonValue

__all__ = ["arguments_of", "wire_of"]

_SAME: Final = {
    "cron": "cron",
    "timezone": "timezone",
    "overlap": "overlap",
    "catchUp": "catch_up",
    "inputData": "input_data",
    "initialState": "initial_state",
    "requestContext": "request_context",
    "resourceId": "resource_id",
    "metadata": "metadata",
}
_LENGTHS: Final = {"everyMs": "every", "jitterMs": "jitter"}
_INSTANTS: Final = ("at", "start", "end")


def wire_of(schedule: Schedule) -> dict[str, JsonValue]:
    """Return what a schedule says. Its values are taken for JSON."""
    timing = schedule.to_timing()
    return {
        "cron": timing.cron,
        "everyMs": timing.every_ms,
        "at": timing.at_ms,
        "timezone": timing.timezone,
        "start": timing.start_ms,
        "end": timing.end_ms,
        "jitterMs": timing.jitter_ms,
        "overlap": schedule.overlap,
        "catchUp": schedule.catch_up,
        "inputData": cast("JsonValue", schedule.input_data),
        "initialState": cast("JsonValue", schedule.initial_state),
        "requestContext": cast("JsonValue", schedule.request_context),
        "resourceId": schedule.resource_id,
        "tags": list(schedule.tags),
        "metadata": dict(schedule.metadata),
    }


def arguments_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON says of a schedule, as arguments of a `Schedule`; what it does not name is not among them."""
    arguments = {name: said[key] for key, name in _SAME.items() if key in said}
    arguments |= {"tags": tuple(said["tags"])} if "tags" in said else {}
    arguments |= {name: _length(said[key]) for key, name in _LENGTHS.items() if key in said}
    return arguments | {name: _instant(said[name]) for name in _INSTANTS if name in said}


def _length(milliseconds: int | None) -> timedelta | None:
    return None if milliseconds is None else timedelta(milliseconds=milliseconds)


def _instant(milliseconds: int | None) -> object:
    return None if milliseconds is None else from_ms(milliseconds)
