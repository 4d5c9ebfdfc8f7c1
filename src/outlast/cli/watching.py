"""Watching a run at the terminal: a table that changes, lines where no terminal is, JSON lines for programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from rich.live import Live

from outlast.cli.exits import Exit, exit_of
from outlast.cli.place import Handle
from outlast.cli.progress import Progress, line_of
from outlast.cli.screen import Screen
from outlast.cli.show import show_ending
from outlast.cli.waiting import not_ended
from outlast.stream import StreamEvent

__all__ = ["watch_and_show"]


async def watch_and_show(
    screen: Screen,
    handle: Handle,
    *,
    after: int = 0,
    until_end: bool = False,
    timeout: timedelta | None = None,  # noqa: ASYNC109 - said to the reader in words
) -> Exit:
    """Show what happens to a run until it rests, or with `until_end` until it has ended; return how it stands.

    Raises:
        Complaint: It took longer than `timeout`; the run goes on.
        RunNotFoundError: No kept run has this id.
    """
    progress = Progress(handle.run_id)
    limit = None if timeout is None else timeout.total_seconds()
    try:
        with not_ended(handle.run_id, timeout), _shown(screen, progress) as tell:
            async with asyncio.timeout(limit):
                async for event in _events(handle, after, until_end=until_end):
                    progress.read(event)
                    tell(event)
    except asyncio.CancelledError:  # Ctrl-C
        screen.note(f"not watching any more; run {handle.run_id} goes on")
        raise
    result = await handle.masked().snapshot()
    if not screen.is_json:
        show_ending(screen, result)
    return exit_of(result.status)


async def _events(handle: Handle, after: int, *, until_end: bool) -> AsyncIterator[StreamEvent]:
    """Yield what is recorded, and then what comes, up to the rest that nothing follows yet.

    A stream ends at its first finish; a run that was resumed has several of them, and the earlier ones are history.
    """
    while True:
        status = await handle.status()  # asked before the events: what led to it is among them
        is_over = status.is_terminal if until_end else status.is_rest
        has_news = False
        async for event in handle.events(after=after):
            after, has_news = event.seq, True
            yield event
        if is_over and not has_news:
            return
        if not is_over and not has_news:
            async for event in handle.observe_stream(after=after):
                after = event.seq
                yield event


def _shown(screen: Screen, progress: Progress) -> AbstractContextManager[Callable[[StreamEvent], None]]:
    if screen.is_json:
        return nullcontext(lambda event: screen.json(event.to_dict()))
    if not screen.out.is_terminal:
        return nullcontext(lambda event: screen.line(line_of(event)))
    return _Live(screen, progress)


class _Live(AbstractContextManager[Callable[[StreamEvent], None]]):
    """A table that is drawn again some times a second; at the end its last state stays."""

    def __init__(self, screen: Screen, progress: Progress) -> None:
        self._live = Live(
            get_renderable=lambda: progress.draw(screen.out.height), console=screen.out, refresh_per_second=8
        )

    def __enter__(self) -> Callable[[StreamEvent], None]:
        self._live.start(refresh=True)
        return lambda _: None

    def __exit__(self, *error: object) -> None:
        self._live.stop()
