"""Waiting in tests: for a fact, with a deadline, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

__all__ = ["eventually"]

T = TypeVar("T")


async def eventually(predicate: Callable[[], T | Awaitable[T]], *, within: float = 10.0) -> T:
    """Ask until the answer is truthy and return it; fail with the last answer after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = predicate()
        value = cast(T, await answer if inspect.isawaitable(answer) else answer)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; the last answer was {value!r}")
        await asyncio.sleep(0.005)  # noqa: TID251 - the one place where tests sleep
