"""How a sync body waits for the engine's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from outlast.errors import DoorError

__all__ = ["run_blocking"]

T = TypeVar("T")


def run_blocking(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it.

    Raises:
        DoorError: It would wait for the loop on the loop itself, and so for ever.
    """
    if _is_running(loop):
        coroutine.close()
        message = (
            "ctx.blocking waits for the event loop, and this function runs on it, as async bodies and the sync "
            "functions of maps and conditions do; make it `async def` and await the same method of ctx"
        )
        raise DoorError(message)
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
