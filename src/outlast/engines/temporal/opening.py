"""The events with which an execution begins elsewhere than at the start of its workflow, in the message that starts it.

They are written by whoever asks for the execution, so they travel as they are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from outlast.core.codec import UnknownEventError, decode_event, encode_event
from outlast.core.events import Fact
from outlast.core.record import Record
from outlast.engines.temporal.packing import UnknownMessageError
from outlast.values import JsonValue

__all__ = ["RAWS_OF_EACH", "facts_of", "opening_from_json", "opening_raws", "opening_to_json", "records_of"]

RAWS_OF_EACH = 2
"""How many values of a message belong to each event: its body and its payload."""


def records_of(facts: Sequence[Fact], *, after: int, execution: int) -> tuple[Record, ...]:
    """Return events as they are recorded behind the event `after`."""
    return tuple(
        encode_event(event, seq=seq, execution=execution, payload=payload)
        for seq, (event, payload) in enumerate(facts, start=after + 1)
    )


def facts_of(records: Sequence[Record]) -> list[Fact]:
    """Return what `records_of` was given.

    Raises:
        UnknownMessageError: A newer version wrote one of them.
    """
    try:
        return [(decode_event(each), each.payload) for each in records]
    except UnknownEventError as error:
        raise UnknownMessageError(str(error)) from error


def opening_to_json(records: Sequence[Record]) -> list[JsonValue]:
    """Return the part of events that stands in the header."""
    return [
        [
            each.seq,
            each.execution,
            each.type,
            each.version,
            each.at_ms,
            each.path,
            each.attempt,
            each.body is not None,
            each.payload is not None,
        ]
        for each in records
    ]


def opening_raws(records: Sequence[Record]) -> list[bytes | None]:
    """Return the other part."""
    return [raw for each in records for raw in (each.body, each.payload)]


def opening_from_json(stored: JsonValue, raws: Sequence[bytes]) -> tuple[Record, ...]:
    """Return the events of a message: facts, all of them."""
    rows = cast("list[list[JsonValue]]", stored or [])
    records: list[Record] = []
    for number, row in enumerate(rows):
        seq, execution, kind, version, at_ms, path, attempt, has_body, has_payload = row
        body, payload = raws[RAWS_OF_EACH * number : RAWS_OF_EACH * (number + 1)]
        records.append(
            Record(
                seq=cast("int", seq),
                execution=cast("int", execution),
                is_fact=True,
                type=str(kind),
                version=cast("int", version),
                at_ms=cast("int", at_ms),
                path=str(path),
                attempt=cast("int", attempt),
                body=body if has_body else None,
                payload=payload if has_payload else None,
            )
        )
    return tuple(records)
