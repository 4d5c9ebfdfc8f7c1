"""What bodies say while they run, as it travels to the workflow: in batches, or with the outcome of their step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from outlast.core.chunk import StreamEntry, encode_entry
from outlast.core.record import Record
from outlast.engines.temporal.packing import UnknownMessageError, pack, unpack
from outlast.immutable import immutable
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = ["Said", "Uttered", "said_in"]


@immutable
class Uttered:
    """Something that a body said."""

    record: Record
    """It, without a place in the journal."""
    restarts: int = 0
    """How often the body was called before without an outcome."""
    crashes: int = 0
    """How many of these calls ended because a process ended by itself."""

    @classmethod
    def of(cls, entry: StreamEntry, payload: bytes | None, *, restarts: int, crashes: int) -> Uttered:
        """Return what travels of a stream event."""
        return cls(encode_entry(entry, seq=0, execution=0, payload=payload), restarts, crashes)

    @property
    def size(self) -> int:
        """About how many bytes it has as a message."""
        return 100 + len(self.record.body or b"") + len(self.record.payload or b"")

    def to_json(self) -> JsonValue:
        """Return all of it but the payload."""
        record = self.record
        body = None if record.body is None else decode(record.body)
        place: list[JsonValue] = [record.path, record.attempt, self.restarts, self.crashes]
        return [record.type, record.version, record.at_ms, *place, body]

    @classmethod
    def from_json(cls, fields: JsonValue, payload: bytes | None) -> Uttered:
        """Return what `to_json` wrote."""
        kind, version, at_ms, path, attempt, restarts, crashes, body = cast("list[JsonValue]", fields)
        raw = None if body is None else encode(body)
        if kind == _WITHOUT_PAYLOAD:
            payload = None
        record = Record(
            0,
            0,
            False,  # noqa: FBT003
            str(kind),
            cast("int", version),
            cast("int", at_ms),
            str(path),
            cast("int", attempt),
            raw,
            payload,
        )
        return cls(record, cast("int", restarts), cast("int", crashes))


_WITHOUT_PAYLOAD = "progress-made"


@immutable
class Said:
    """A batch of what the bodies of a run said in one process."""

    source: str
    """Made up by the process. Batches of one source come in order, perhaps more than once."""
    number: int
    """0, 1, 2, ... for each source."""
    uttered: Sequence[Uttered]
    """What they said, in order."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        header: dict[str, JsonValue] = {
            "source": self.source,
            "number": self.number,
            "said": [each.to_json() for each in self.uttered],
        }
        return pack(header, *(each.record.payload for each in self.uttered))

    @classmethod
    def read(cls, message: bytes) -> Said | None:
        """Return what `to_bytes` wrote, or None if it is something else.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        try:
            header, raws = unpack(message)
            uttered = said_in(header, raws)
            return cls(str(header["source"]), cast("int", header["number"]), uttered)
        except UnknownMessageError:
            raise
        except (InvalidValueError, KeyError, TypeError, ValueError, AttributeError):
            return None


def said_in(header: dict[str, JsonValue], raws: Sequence[bytes]) -> list[Uttered]:
    """Return what a message brings of what was said."""
    fields = cast("list[JsonValue]", header["said"])
    return [Uttered.from_json(each, raw) for each, raw in zip(fields, raws, strict=True)]
