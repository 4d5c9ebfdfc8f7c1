"""What is said of functions that hand over what they should have awaited."""

from __future__ import annotations

from inspect import isawaitable, iscoroutine

__all__ = ["why_unawaited"]


def why_unawaited(value: object) -> str | None:
    """Say what is wrong with an answer that is still to be awaited; None if it is not.

    A coroutine is closed, so that Python does not complain of it a second time, from somewhere else.
    """
    if not isawaitable(value):
        return None
    if iscoroutine(value):
        value.close()
    return "it gave something to await; make it `async def`, with `await` before the call that gave it"
