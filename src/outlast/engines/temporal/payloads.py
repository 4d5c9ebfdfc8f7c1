"""Messages as Temporal's payloads: JSON, so that its own tools can show them."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter

__all__ = ["raw_value", "read_payloads"]


def raw_value(message: bytes) -> RawValue:
    """Return a message as what the SDK hands over without converting it."""
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=message))


async def read_payloads(converter: DataConverter, payloads: Sequence[Payload]) -> list[bytes]:
    """Return the messages in payloads, decrypted or fetched as the client's converter does it."""
    values = await converter.decode(payloads, [RawValue] * len(payloads))
    return [value.payload.data for value in values]
