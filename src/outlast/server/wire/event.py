"""Events of a run as bytes: records that a separator ends, or Server-Sent Events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from outlast.immutable import immutable
from outlast.instant import to_ms
from outlast.server.auth import Principal, Scope
from outlast.server.wire.whole import strip_tracebacks
from outlast.stream import StreamEvent
from outlast.values import JsonValue, encode

__all__ = ["Framing", "framing_of", "plain_event"]

_SEPARATOR: Final = b"\x1e"


@immutable
class Framing:
    """How events are cut apart."""

    media_type: str
    """What the answer calls itself."""
    frame: Callable[[StreamEvent], bytes]
    """One event as bytes."""
    keep_alive: bytes = b""
    """What may be sent when nothing happens; empty for nothing."""


def framing_of(
    accept: str,
    principal: Principal,
    render: Callable[[StreamEvent], dict[str, JsonValue]] = StreamEvent.to_dict,
) -> Framing:
    """Return the framing that a reader asks for with its `Accept` header.

    Args:
        accept: The header.
        principal: Who reads; tracebacks are shown to those with scope `admin`.
        render: How one event looks: as in the reference, or in our own form.
    """

    def show(event: StreamEvent) -> dict[str, JsonValue]:
        wire = render(event)
        return wire if principal.scope.includes(Scope.ADMIN) else _without_tracebacks(wire)

    if "text/event-stream" in accept:
        return Framing("text/event-stream", lambda event: _server_sent(event, show), b": still here\n\n")
    return Framing("text/plain", lambda event: encode(show(event)) + _SEPARATOR)


def plain_event(event: StreamEvent) -> dict[str, JsonValue]:
    """Return an event in our own form: the payload is as in process."""
    return {
        "seq": event.seq,
        "at": to_ms(event.at),
        "type": event.type,
        "runId": event.run_id,
        "execution": event.execution,
        "from": event.source,
        "payload": dict(event.payload),
    }


def _without_tracebacks(wire: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Empty the tracebacks of the failure that a rendered event tells of; at the end of a run it is in two places."""
    payload = wire["payload"]
    if isinstance(payload, dict) and str(wire["from"]).lower() == "workflow":
        strip_tracebacks(payload.get("error"))
        metadata = payload.get("metadata") if wire["type"] == "workflow-finish" else None
        strip_tracebacks(metadata.get("error") if isinstance(metadata, dict) else None)
    return wire


def _server_sent(event: StreamEvent, render: Callable[[StreamEvent], dict[str, JsonValue]]) -> bytes:
    """Return the event with its number as `id`, so that a browser that was cut off goes on after it."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), encode(render(event)))
