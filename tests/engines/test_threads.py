"""Threads of sync bodies: bounded, one more for each body that is left to itself, and only for as long as it is."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from eventually import eventually
from outlast.engines.threads import BodyThreads, ThreadCall


class Busy:
    """Calls in threads, each of which ends when a test says so."""

    def __init__(self, limit: int) -> None:
        self.threads = BodyThreads(limit)
        self.ends: list[threading.Event] = []
        self.begun: list[int] = []

    def submit(self) -> ThreadCall:
        number, end = len(self.ends), threading.Event()
        self.ends.append(end)

        def wait() -> None:
            self.begun.append(number)
            assert end.wait(20)

        return self.threads.submit(wait, contextvars.copy_context())

    @property
    def count(self) -> int:
        return len(self.threads._threads)  # noqa: SLF001


@asynccontextmanager
async def busy(limit: int) -> AsyncGenerator[Busy]:
    made = Busy(limit)
    try:
        yield made
    finally:
        for end in made.ends:
            end.set()
        made.threads.close(timeout=5)


def has_begun(made: Busy, *numbers: int) -> Callable[[], bool]:
    return lambda: set(made.begun) >= set(numbers)


async def test_no_more_threads_than_the_limit_once_a_call_that_was_given_up_returns() -> None:
    """9.3: replaced boundedly; a body that took too long now and then must not raise the limit for good."""
    async with busy(2) as made:
        for _ in range(5):  # more often than the limit is
            first = len(made.ends)
            late, _ = made.submit(), made.submit()
            await eventually(has_begun(made, first, first + 1))
            made.threads.give_up(late)
            made.submit()
            await eventually(has_begun(made, first + 2))
            assert made.count == 3
            for end in made.ends:
                end.set()
            await eventually(lambda: made.count <= 2)

        for _ in range(4):
            made.submit()
        await eventually(has_begun(made, 15, 16))

        assert made.count == 2
        assert len(made.begun) == 17


async def test_call_that_waits_gets_the_thread_that_replaces_another() -> None:
    """9.3: not only one that comes later."""
    async with busy(1) as made:
        late = made.submit()
        await eventually(has_begun(made, 0))
        made.submit()

        made.threads.give_up(late)

        await eventually(has_begun(made, 1))


async def test_call_that_has_returned_is_not_replaced() -> None:
    """Nobody waits for it any more, and it keeps no thread."""
    async with busy(1) as made:
        done = made.submit()
        made.ends[0].set()
        await eventually(lambda: done.has_ended)

        made.threads.give_up(done)
        made.submit()
        made.submit()
        await eventually(has_begun(made, 1))

        assert made.count == 1
        assert made.begun == [0, 1]


async def test_call_is_given_up_once() -> None:
    """Two reasons to leave a body are one thread."""
    async with busy(2) as made:
        late = made.submit()
        made.threads.give_up(late)
        made.threads.give_up(late)
        for _ in range(3):
            made.submit()
        await eventually(has_begun(made, 0, 1, 2))

        assert made.count == 3
        made.ends[0].set()
        await eventually(lambda: made.count == 2)


async def test_at_most_twice_as_many_threads_as_the_limit() -> None:
    """19: nothing grows without bound."""
    async with busy(2) as made:
        for number in range(4):
            late = made.submit()
            await eventually(has_begun(made, number))
            made.threads.give_up(late)
        made.submit()

        assert made.count == 4
        assert made.begun == [0, 1, 2, 3]
