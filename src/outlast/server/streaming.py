"""Answers that go on: the events of a run, one piece each, for as long as the reader stays.

A reader that is slow holds up nobody but itself: events are taken from the journal only as fast as it takes them. One
that goes away, or a server that stops, ends the reading and leaves the run alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from outlast.server.problem import Refusal
from outlast.server.wire.event import Framing
from outlast.stream import StreamEvent

__all__ = ["EventResponse", "Place", "Streams"]

_KEEP_ALIVE: Final = 15.0
"""Seconds of silence after which a reader of Server-Sent Events is told that the stream still lives."""


class Streams:
    """Counts the open streams of a server, and bounds them."""

    def __init__(self, *, limit: int, stopping: asyncio.Event) -> None:
        self._limit = limit
        self.stopping = stopping
        """Set when the server is to stop."""
        self.open = 0
        """How many streams are open."""

    @contextmanager
    def place(self) -> Generator[Place]:
        """Hold a place for one more stream, before the run that it shows is touched: what is refused has not happened.

        An answer that is made in the block takes the place over; if the block raises, it is given back.

        Raises:
            Refusal: There are too many.
        """
        if self.open >= self._limit:
            hint = "close streams that nobody reads, or ask for the result instead"
            raise Refusal(503, "Too many open streams", code="too-many-streams", hint=hint)
        place = Place(self)
        try:
            yield place
        except BaseException:
            place.give_back()
            raise


class Place:
    """A place among the open streams of a server, from when it is made until it is given back."""

    def __init__(self, streams: Streams) -> None:
        self.stopping = streams.stopping
        """Set when the server is to stop."""
        self._streams = streams
        streams.open += 1

    def give_back(self) -> None:
        """Let another stream have it. Called once."""
        self._streams.open -= 1


class EventResponse(Response):
    """Sends events until there are no more, the reader goes away, or the server stops."""

    def __init__(
        self,
        events: AsyncIterator[StreamEvent],
        *,
        framing: Framing,
        place: Place,
        is_shown: Callable[[StreamEvent], bool] = lambda _event: True,
        is_last: Callable[[StreamEvent], bool] = lambda _event: False,
    ) -> None:
        super().__init__(None, 200, media_type=framing.media_type)
        del self.headers["content-length"]
        self._events = events
        self._framing = framing
        self._place = place
        self._is_shown = is_shown
        self._is_last = is_last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._pump_until_over(receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._place.give_back()

    async def _pump_until_over(self, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(send))
        others: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(_gone(receive)),
            asyncio.ensure_future(self._place.stopping.wait()),
        ]
        if self._framing.keep_alive:
            others.append(asyncio.ensure_future(self._keep_alive(send)))
        try:
            await asyncio.wait((pump, *others), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, *others):
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await pump

    async def _pump(self, send: Send) -> None:
        async for event in self._events:
            if self._is_shown(event):
                await send({"type": "http.response.body", "body": self._framing.frame(event), "more_body": True})
            if self._is_last(event):
                return

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await asyncio.sleep(_KEEP_ALIVE)
            await send({"type": "http.response.body", "body": self._framing.keep_alive, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Wait until the reader went away."""
    while (await receive())["type"] != "http.disconnect":
        pass
