"""All events of a run, however often it rested on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from outlast.run import RunHandle
from outlast.stream import StreamEvent

__all__ = ["replay", "skip"]


async def replay(handle: RunHandle[Any], *, after: int = 0) -> AsyncIterator[StreamEvent]:
    """Yield what is recorded, and then, unless the run rests there, what comes until it does; each event once."""
    last, is_over = after, False
    async for event in handle.events(after=after):
        last, is_over = event.seq, event.type == "workflow-finish"
        yield event
    if last == after:  # the reader knows all that there is: only the run itself tells whether more may come
        is_over = (await handle.status()).is_rest
    if not is_over:
        async for event in handle.observe_stream(after=last):
            yield event


async def skip(events: AsyncIterator[StreamEvent], number: int) -> AsyncIterator[StreamEvent]:
    """Leave out the first events."""
    async for event in events:
        if number > 0:
            number -= 1
        else:
            yield event
