"""Messages as Temporal's payloads: JSON, so that its own tools can show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter

from outlast.engines.temporal.apart import LATE, is_apart
from outlast.engines.temporal.packing import UnknownMessageError
from outlast.errors import StoreError

__all__ = ["late_value", "message_of", "raw_value", "read_payloads"]

_JSON: Final = b"json/plain"
_PERHAPS_APART: Final = 64 * 1024
"""Messages of fewer bytes are never kept apart, so nobody needs to know whether they may be fetched late."""


def raw_value(message: bytes) -> RawValue:
    """Return a message as what the SDK hands over without converting it."""
    return RawValue(Payload(metadata={"encoding": _JSON}, data=message))


def late_value(message: bytes) -> RawValue:
    """Return a message for an activity, which fetches it itself if it is kept apart."""
    if len(message) < _PERHAPS_APART:
        return raw_value(message)
    return RawValue(Payload(metadata={"encoding": _JSON, LATE: b"1"}, data=message))


def message_of(value: RawValue) -> bytes:
    """Return the message that was handed over.

    Raises:
        UnknownMessageError: It is kept apart, and this process does not know where.
    """
    if is_apart(value.payload):
        raise UnknownMessageError("this value lies in an object store; give this process the same `object_store`")
    return value.payload.data


async def read_payloads(converter: DataConverter, payloads: Sequence[Payload]) -> list[bytes]:
    """Return the messages in payloads, decrypted or fetched as the client's converter does it.

    Raises:
        StoreError: One is kept apart, and cannot be fetched; the message says why.
    """
    values = await converter.decode(payloads, [RawValue] * len(payloads))
    try:
        return [message_of(value) for value in values]
    except UnknownMessageError as error:
        raise StoreError(str(error)) from error
