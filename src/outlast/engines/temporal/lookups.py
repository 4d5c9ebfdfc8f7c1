"""How contexts reach recorded values: bodies ask the workflow, questions bring them along."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio.client import WorkflowHandle
from temporalio.common import RawValue

from outlast.engines.blocking import run_blocking
from outlast.engines.perform import decode_init
from outlast.engines.temporal.flow import FIND
from outlast.engines.temporal.messages import Ask, Asks
from outlast.engines.temporal.packing import LARGEST_MESSAGE, pack, unpack
from outlast.engines.temporal.payloads import message_of, raw_value
from outlast.errors import PayloadTooLargeError
from outlast.graph.schema import Schema
from outlast.sealing import opened

__all__ = ["RemoteLookup", "TableLookup"]

T = TypeVar("T")

_PATIENCE: Final = timedelta(seconds=30)


class RemoteLookup:
    """Asks the workflow, which knows what is recorded. Nothing is sent along with a task that it may never need."""

    def __init__(self, handle: WorkflowHandle[Any, Any], init_type: Schema[Any]) -> None:
        self._handle = handle
        self._init_type = init_type
        self._loop = asyncio.get_running_loop()

    async def init_data(self, path: str) -> object:
        """Return the input of the workflow in which the node stands, decoded as its declared type."""
        return decode_init(self._init_type, opened(await self.init_raw(path)))

    async def init_raw(self, path: str) -> bytes:
        """Return the input of the workflow in which the node stands, as JSON."""
        return await self._find(path, None) or b"null"

    async def step_result(self, path: str, step_id: str) -> bytes | None:
        """Return the recorded output of a step of that workflow as JSON, or None unless it succeeded."""
        return await self._find(path, step_id)

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it."""
        return run_blocking(coroutine, self._loop)

    async def _find(self, path: str, node: str | None) -> bytes | None:
        message = pack({"path": path, "node": node})
        answer = await self._handle.query(FIND, raw_value(message), result_type=RawValue, rpc_timeout=_PATIENCE)
        header, raws = unpack(message_of(answer))
        return raws[0] if header["is_there"] else None


class TableLookup:
    """Reads what came with the question."""

    def __init__(self, asks: Asks, ask: Ask, init_type: Schema[Any]) -> None:
        self._asks = asks
        self._ask = ask
        self._init_type = init_type
        self._loop = asyncio.get_running_loop()

    async def init_data(self, path: str) -> object:
        """Return the input of the workflow in which the node stands, decoded as its declared type."""
        return decode_init(self._init_type, opened(await self.init_raw(path)))

    async def init_raw(self, path: str) -> bytes:
        """Return the input of the workflow in which the node stands, as JSON."""
        return self._value(self._ask.init, "input of the workflow")

    async def step_result(self, path: str, step_id: str) -> bytes | None:
        """Return the recorded output of a step of that workflow as JSON, or None unless it succeeded.

        Raises:
            PayloadTooLargeError: It is too large to be at hand here; read it in a step.
        """
        results = self._ask.results or {}
        if step_id not in results:
            return None
        return self._value(results[step_id], f"output of step '{step_id}'")

    def _value(self, place: int | None, what: str) -> bytes:
        if place is None:
            limit = LARGEST_MESSAGE // 2
            raise PayloadTooLargeError(f"{what}, for '{self._ask.path}',", limit + 1, limit)
        return self._asks.values[place]

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it."""
        return run_blocking(coroutine, self._loop)
