"""The event loop that an app belongs to: its tasks and futures are of no use on any other."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from outlast.errors import ConfigurationError, UnattachedWorkflowError

__all__ = ["Loop", "own_loop", "refuse_other_loop"]

Loop: TypeAlias = asyncio.AbstractEventLoop
"""An event loop of asyncio."""


def own_loop() -> Loop:
    """Return the event loop that runs here.

    Raises:
        ConfigurationError: None of asyncio does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        message = "an app needs the event loop of asyncio: asyncio.run(main()), or anyio with backend='asyncio'"
        raise ConfigurationError(message) from error


def refuse_other_loop(home: Loop | None) -> None:
    """Refuse to be used on another event loop than an app's own. Where none runs, nothing can be awaited.

    Raises:
        UnattachedWorkflowError: Another one runs here.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return
    if here is not home:
        message = (
            "this app is open on another event loop, and only there it can be awaited; open one of its own here, as "
            "`async with app.with_options() as here:`, or reach it from other threads by `outlast.sync.Door`"
        )
        raise UnattachedWorkflowError(message)
