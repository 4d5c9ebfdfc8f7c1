"""How messages look on the wire: a JSON list of a header and user values, each value exactly as it was recorded.

A value is spliced in and cut out without being decoded, so it costs little inside a workflow task, keeps its text to
the byte, and can still be read by people in Temporal's own tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from outlast.values import JsonValue, encode, join_list, split_headed_list

__all__ = ["ABSENT", "LARGEST_MESSAGE", "UnknownMessageError", "pack", "unpack"]

LARGEST_MESSAGE: Final = 2 * 1024 * 1024 - 64 * 1024
"""Most bytes of one message. The server refuses more than 2 MiB, in most places by leaving the run stuck."""

ABSENT: Final = b"null"
"""Stands where a message has no value; the header says that there is none."""

_VERSION: Final = 1


class UnknownMessageError(Exception):
    """A newer version of Outlast wrote this message; the run waits for a worker that reads it."""


def pack(header: dict[str, JsonValue], *raws: bytes | None) -> bytes:
    """Return a message of this header and these values."""
    return join_list([encode({"v": _VERSION, **header}), *(ABSENT if raw is None else raw for raw in raws)])


def unpack(message: bytes) -> tuple[dict[str, JsonValue], Sequence[bytes]]:
    """Return the header and the values of a message.

    Raises:
        UnknownMessageError: A newer version wrote it.
        ValueError: It is no message, but a list of somebody else's.
    """
    first, raws = split_headed_list(message)
    header = cast("dict[str, JsonValue]", first)
    version = header.get("v")
    if isinstance(version, int) and version > _VERSION:
        raise UnknownMessageError(f"a message of version {version} needs a newer outlast; upgrade this worker")
    if version != _VERSION:
        raise ValueError("this is no message of outlast")
    return header, raws
