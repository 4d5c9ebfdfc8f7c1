"""Keeping large payloads apart: an object store has them, and the server of Temporal a reference.

An object is a payload as it would have been sent, encrypted if the caller's codec does that. Its name is the digest of
its bytes: what is sent again, as in each replay of a workflow, is the same object, and what was changed is noticed.

What a workflow sends to an activity is marked: there the codec leaves the reference alone, and the activity fetches the
object itself. So an outage of the store costs no attempt of a step. A workflow task that cannot fetch or put an object
fails and is tried again by the server, which costs nothing either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final, cast

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from outlast.engines.temporal.objects import ObjectStore
from outlast.engines.temporal.packing import LARGEST_MESSAGE
from outlast.errors import StoreError, StoreUnavailableError
from outlast.values import encode

__all__ = ["LATE", "ObjectCodec", "codec_of", "delete_objects", "is_apart", "largest_message", "with_object_store"]

LARGEST_APART: Final = 32 * 1024 * 1024
"""Most bytes of one message that is kept apart. A worker decodes it while a workflow task waits."""
LATE: Final = "outlast-late"
"""Metadata of payloads that whoever receives them fetches himself."""
_APART: Final = b"outlast/object"
"""Encoding of the payload that stands for an object."""
_KEY: Final = "outlast-object"
_INLINE: Final = 128 * 1024
"""Payloads up to this size stay in the history."""


class ObjectCodec(PayloadCodec, WithSerializationContext):
    """Puts large payloads into an object store, after the codec within has encoded them."""

    def __init__(self, store: ObjectStore, inner: PayloadCodec | None = None, *, folder: str = "0") -> None:
        self.store = store
        """Where they lie."""
        self._inner = inner
        self._folder = folder

    def with_context(self, context: SerializationContext) -> ObjectCodec:
        """Return the codec for the payloads of one workflow, whose objects lie in one folder."""
        folder = self._folder
        match context:
            case WorkflowSerializationContext() | ActivitySerializationContext() if context.workflow_id is not None:
                folder = _folder_of(context.namespace, context.workflow_id)
            case _:
                pass  # no payload of ours
        return ObjectCodec(self.store, _in_context(self._inner, context), folder=folder)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return what is sent for payloads."""
        return [await self._encode(each) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads that were sent, or what stands for those that are fetched later."""
        return [each if is_apart(each) and LATE in each.metadata else await self.fetch(each) for each in payloads]

    async def fetch(self, payload: Payload) -> Payload:
        """Return the payload that another one stands for.

        Raises:
            StoreUnavailableError: The store does not answer; it may later.
            StoreError: The store does not have the value any more, or has another one in its place.
        """
        if is_apart(payload):
            payload = Payload.FromString(await self._find(payload.metadata[_KEY].decode()))
        return payload if self._inner is None else (await self._inner.decode([payload]))[0]

    async def _find(self, key: str) -> bytes:
        try:
            raw = await self.store.find(key)
        except Exception as error:
            raise _silent(error) from error
        if raw is None:
            raise StoreError(f"the object store has no '{key}'; was it removed before its run?")
        if _name_of(raw) != key.rpartition("/")[2]:
            raise StoreError(f"object '{key}' is not what was put there")
        return raw

    async def _encode(self, payload: Payload) -> Payload:
        if is_apart(payload):
            return payload
        is_late = LATE in payload.metadata
        if self._inner is not None:
            [payload] = await self._inner.encode([payload])
        if payload.ByteSize() <= _INLINE:
            return payload
        raw = payload.SerializeToString(deterministic=True)
        key = f"{self._folder}/{_name_of(raw)}"
        try:
            await self.store.put(key, raw)
        except Exception as error:
            raise _silent(error) from error
        metadata = {"encoding": _APART, _KEY: key.encode(), **({LATE: b"1"} if is_late else {})}
        return Payload(metadata=metadata, data=encode({"bytes": len(raw)}))


def with_object_store(store: ObjectStore, converter: DataConverter = DataConverter.default) -> DataConverter:
    """Return a data converter that keeps large payloads in an object store, for clients that you connect yourself.

    What `converter` encrypts is stored encrypted.
    """
    return replace(converter, payload_codec=ObjectCodec(store, converter.payload_codec))


def codec_of(converter: DataConverter) -> ObjectCodec | None:
    """Return what keeps the large payloads of a client apart; None if nothing does."""
    codec = converter.payload_codec
    return codec if isinstance(codec, ObjectCodec) else None


def largest_message(converter: DataConverter) -> int:
    """Return how many bytes one message of a client may have."""
    return LARGEST_MESSAGE if codec_of(converter) is None else LARGEST_APART


async def delete_objects(client: Client, workflow_id: str) -> None:
    """Delete the values of a workflow that are kept apart.

    Raises:
        StoreUnavailableError: They are still there.
    """
    codec = codec_of(client.data_converter)
    if codec is None:
        return
    folder = _folder_of(client.namespace, workflow_id)
    try:
        await codec.store.delete(folder)
    except Exception as error:
        message = f"workflow {workflow_id} is deleted, but its objects in folder {folder} are not: {error!r}"
        raise StoreUnavailableError(message) from error


def is_apart(payload: Payload) -> bool:
    """Say whether a payload stands for an object."""
    return payload.metadata.get("encoding") == _APART


def _folder_of(namespace: str, workflow_id: str) -> str:
    """Return where the objects of a workflow lie."""
    return sha256(f"{namespace}\0{workflow_id}".encode()).hexdigest()[:32]


def _in_context(codec: PayloadCodec | None, context: SerializationContext) -> PayloadCodec | None:
    aware: object = codec
    return cast("PayloadCodec", aware.with_context(context)) if isinstance(aware, WithSerializationContext) else codec


def _silent(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"the object store does not answer: {error!r}")


def _name_of(raw: bytes) -> str:
    return sha256(raw).hexdigest()
