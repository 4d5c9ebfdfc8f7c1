"""Waiting for a run at the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit, exit_of
from outlast.cli.place import Handle, Place
from outlast.cli.screen import Screen, span
from outlast.cli.show import show_result
from outlast.cli.values import parse_span

if TYPE_CHECKING:
    from outlast.client import Client

__all__ = ["not_ended", "note_lack_of_worker", "parse_timeout", "wait_and_show"]


def parse_timeout(text: str | None) -> timedelta | None:
    """Return how long to wait at most. Called before a command does anything: a wrong one must change nothing.

    Raises:
        Complaint: It is no length of time.
    """
    return None if text is None else parse_span(text, "--timeout")


@contextmanager
def not_ended(run_id: str, timeout: timedelta | None) -> Generator[None]:
    """Say what it means that the time to wait is over.

    Raises:
        Complaint: It is.
    """
    try:
        yield
    except TimeoutError:
        within = "" if timeout is None else f" within {span(timeout)}"
        raise Complaint(
            f"run {run_id} did not come to rest{within}; it goes on",
            hint=f"ask what it waits for: outlast run why {run_id}",
            exit=Exit.NOT_ENDED,
            code="not-ended",
        ) from None


async def wait_and_show(screen: Screen, handle: Handle, *, timeout: timedelta | None) -> Exit:  # noqa: ASYNC109
    """Wait until the run rests, show it, and return the exit code for how it stands.

    Raises:
        Complaint: It took longer than `timeout`; the run goes on.
        RunNotFoundError: No kept run has this id.
    """
    try:
        with not_ended(handle.run_id, timeout):
            result = await handle.masked().result(timeout=timeout)
    except asyncio.CancelledError:  # Ctrl-C
        screen.note(f"not waiting any more; run {handle.run_id} goes on")
        raise
    if screen.is_json:
        screen.json(result.to_dict())
    else:
        show_result(screen, result)
    return exit_of(result.status)


async def note_lack_of_worker(screen: Screen, app: Outlast | Client, handle: Handle, place: Place) -> None:
    """Say that nothing will happen to a run yet if no live worker has its code; what happens at a server it knows."""
    if screen.is_json or not isinstance(app, Outlast):
        return
    standing = await app.engine.load_standing(handle.run_id)
    if standing.is_left:
        screen.note(f"no live worker takes it yet; start one: outlast worker {place.app or 'APP'}", style="yellow")
