"""Waiting for a run at the terminal."""

from __future__ import annotations

import asyncio

from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit, exit_of
from outlast.cli.place import Handle
from outlast.cli.screen import Screen
from outlast.cli.show import show_result
from outlast.cli.values import parse_span

__all__ = ["wait_and_show"]


async def wait_and_show(screen: Screen, handle: Handle, *, timeout: str | None) -> Exit:  # noqa: ASYNC109 - a text
    """Wait until the run rests, show it, and return the exit code for how it stands.

    Raises:
        Complaint: It took longer than `timeout`; the run goes on.
        RunNotFoundError: No kept run has this id.
    """
    limit = None if timeout is None else parse_span(timeout, "--timeout")
    try:
        result = await handle.masked().result(timeout=limit)
    except TimeoutError:
        raise Complaint(
            f"run {handle.run_id} did not come to rest within {timeout}; it goes on",
            hint=f"ask what it waits for: outlast run why {handle.run_id}",
            exit=Exit.NOT_ENDED,
            code="not-ended",
        ) from None
    except asyncio.CancelledError:  # Ctrl-C
        screen.note(f"not waiting any more; run {handle.run_id} goes on")
        raise
    if screen.is_json:
        screen.json(result.to_dict())
    else:
        show_result(screen, result)
    return exit_of(result.status)
