"""How activities come by messages that are kept apart, and leave their own there."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from temporalio import activity
from temporalio.common import RawValue
from temporalio.converter import ActivitySerializationContext, DataConverter

from outlast.engines.temporal.apart import ObjectCodec, codec_of, is_apart, largest_message
from outlast.engines.temporal.payloads import message_of, raw_value
from outlast.errors import StoreUnavailableError

__all__ = ["Carrier"]

_log = logging.getLogger("outlast.worker")

_AGAIN: Final = 1.0
"""Seconds after which a store that did not answer is asked again."""


class Carrier:
    """Fetches and leaves the messages of this worker's activities."""

    def __init__(self, converter: DataConverter) -> None:
        self._codec = codec_of(converter)
        self.largest = largest_message(converter)
        """Most bytes of one message."""

    async def fetch(self, value: RawValue) -> bytes:
        """Return the message that an activity was given.

        Raises:
            StoreUnavailableError: The object store does not answer; the activity must be tried again.
            StoreError: The object store has lost it.
        """
        if self._codec is None or not is_apart(value.payload):
            return message_of(value)
        return (await _for_this_activity(self._codec).fetch(value.payload)).data

    async def leave(self, message: bytes) -> RawValue:
        """Return what an activity returns for a message.

        Raises:
            StoreUnavailableError: The object store does not answer.
        """
        value = raw_value(message)
        if self._codec is None:
            return value
        [payload] = await _for_this_activity(self._codec).encode([value.payload])
        return RawValue(payload) if is_apart(payload) else value  # the SDK encodes what is returned

    async def insist(self, message: bytes) -> RawValue:
        """Return what an activity returns, however long it takes: the body has ended, and must not be called again."""
        while True:
            try:
                return await self.leave(message)
            except StoreUnavailableError as error:
                _log.warning("what became of '%s' waits: %s", activity.info().activity_id, error)
                await asyncio.sleep(_AGAIN)


def _for_this_activity(codec: ObjectCodec) -> ObjectCodec:
    info = activity.info()
    return codec.with_context(
        ActivitySerializationContext(
            namespace=info.namespace,
            workflow_id=info.workflow_id,
            workflow_type=info.workflow_type,
            activity_type=info.activity_type,
            activity_id=info.activity_id,
            activity_task_queue=info.task_queue,
            is_local=info.is_local,
        )
    )
