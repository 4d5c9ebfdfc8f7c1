"""What bodies say while they run: stream events. They share the order of the facts, and nothing is decided by them.

They are not folded: a run goes on, and is read, without them, and they may be dropped when it has ended.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from outlast.core.codec import UnknownEventError
from outlast.core.record import Record
from outlast.immutable import immutable
from outlast.values import JsonValue, decode, encode

__all__ = [
    "ENTRIES_REMOVED",
    "ChunkWritten",
    "DataEmitted",
    "EntriesRemoved",
    "ProgressMade",
    "StreamEntry",
    "decode_entry",
    "encode_entry",
    "removal_of",
]

ENTRIES_REMOVED: Final = "entries-removed"
"""Type of the record that stands in the place of stream events that were removed."""

_CHUNK, _PROGRESS, _DATA = "chunk-written", "progress-made", "data-emitted"
_VERSION: Final = 1


@immutable
class ChunkWritten:
    """A body wrote something (`ctx.write`). Its payload is the chunk."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """The attempt that wrote it."""


@immutable
class ProgressMade:
    """A body told how far it is (`ctx.progress`)."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """The attempt that told it."""
    done: int | float
    """How much is done."""
    total: int | float | None
    """How much there is to do; None if that is not known."""
    message: str | None
    """The author's words."""


@immutable
class DataEmitted:
    """A body told something under a name of its own (`ctx.emit`). Its payload is the value."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """The attempt that told it."""
    name: str
    """The name, as `data-price`."""


@immutable
class EntriesRemoved:
    """What bodies said up to here is not kept any more. It stands in the place of the last that was removed."""

    at_ms: int
    """When the last of it was said, in milliseconds since 1970, UTC."""


StreamEntry: TypeAlias = ChunkWritten | ProgressMade | DataEmitted
"""Closed on purpose, like `Event`."""


def encode_entry(entry: StreamEntry, *, seq: int, execution: int, payload: bytes | None) -> Record:
    """Return the stored form of a stream event."""
    name, body = _CHUNK, None
    if isinstance(entry, ProgressMade):
        name, body = _PROGRESS, encode({"done": entry.done, "total": entry.total, "message": entry.message})
    elif isinstance(entry, DataEmitted):
        name, body = _DATA, encode({"name": entry.name})
    is_fact = False
    return Record(seq, execution, is_fact, name, _VERSION, entry.at_ms, entry.path, entry.attempt, body, payload)


def removal_of(last: Record) -> Record:
    """Return what takes the place of stream events that are removed, given the last of them."""
    return Record(last.seq, last.execution, False, ENTRIES_REMOVED, _VERSION, last.at_ms, "", 0, None, None)  # noqa: FBT003


def decode_entry(record: Record) -> StreamEntry | EntriesRemoved:
    """Return the stream event of a stored record that is no fact.

    Raises:
        UnknownEventError: A newer version of Outlast wrote it.
    """
    if record.version > _VERSION or record.type not in (_CHUNK, _PROGRESS, _DATA, ENTRIES_REMOVED):
        raise UnknownEventError(record.type, record.version)
    if record.type == ENTRIES_REMOVED:
        return EntriesRemoved(record.at_ms)
    if record.type == _CHUNK:
        return ChunkWritten(record.at_ms, record.path, record.attempt)
    body = _body(record)
    if record.type == _DATA:
        return DataEmitted(record.at_ms, record.path, record.attempt, str(body["name"]))
    done, total, message = body["done"], body.get("total"), body.get("message")
    return ProgressMade(
        record.at_ms,
        record.path,
        record.attempt,
        done if isinstance(done, int | float) else 0,
        total if isinstance(total, int | float) else None,
        message if isinstance(message, str) else None,
    )


def _body(record: Record) -> dict[str, JsonValue]:
    body = decode(record.body or b"{}")
    return body if isinstance(body, dict) else {}
