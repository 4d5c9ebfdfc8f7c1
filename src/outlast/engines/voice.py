"""What the bodies of one run say, between the body and the commit: queued, bounded, and never awaited to disk.

A body is any function in any thread. What it says becomes records on the event loop, within 50 ms or with the outcome
of its step, whichever comes first; so no outcome is ever recorded before what its body said.

Nothing grows without bound. A thread that says more than the store takes waits in the call; an async body may await the
call, which does the same. One that does not await cannot be held up: beyond a much larger bound its call raises.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Protocol, assert_never

from outlast.core.chunk import ChunkWritten, DataEmitted, ProgressMade, StreamEntry
from outlast.engines.perform import DEFAULT_PAYLOAD_LIMIT, check_size
from outlast.errors import StreamWriteError
from outlast.graph.saying import Emitted, Progressed, Saying, Wrote

__all__ = ["Voice", "entry_of"]

_FULL_EVENTS: Final = 1_000
_FULL_BYTES: Final = 1024 * 1024
_MOST_EVENTS: Final = 10_000
_MOST_BYTES: Final = 16 * 1024 * 1024


class _Speaker(Protocol):
    """The call of a body."""

    is_over: bool


class Voice:
    """The queue of one run. `put` may be called in any thread, everything else on the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        record: Callable[[StreamEntry, bytes | None], int],
        flush: Callable[[], None],
        flush_after: Callable[[], float],
        said: int,
        most: int,
    ) -> None:
        """Begin with an empty queue.

        Args:
            loop: The engine's loop.
            record: Gives an event its place in the journal and returns it.
            flush: Has what waits here recorded and written.
            flush_after: Seconds until what waits is flushed, unless it is much.
            said: How many events the run has said so far.
            most: How many it may say in all.
        """
        self._loop = loop
        self._record = record
        self._flush = flush
        self._flush_after = flush_after
        self._said = said
        self._most = most
        self._changed = threading.Condition()
        self._waiting: list[tuple[StreamEntry, bytes | None]] = []
        self._in_flight: deque[tuple[int, int, int]] = deque()
        self._events = 0  # said and not durable
        self._bytes = 0
        self._is_planned = False
        self._is_urgent = False
        self._is_closed = False
        self._awaiting: list[asyncio.Future[None]] = []

    def put(self, speaker: _Speaker, entry: StreamEntry, payload: bytes | None) -> Awaitable[None]:
        """Take what a body says. In a thread this waits for room; on the loop whoever wants to wait awaits the answer.

        Raises:
            StreamWriteError: The attempt is over, the run has said too much, or it says more than the store takes.
        """
        is_on_loop = _is_running(self._loop)
        with self._changed:
            while not is_on_loop and self._is_full and not self._is_closed and not speaker.is_over:
                self._changed.wait()
            self._refuse_misuse(speaker, entry)
            self._said += 1
            self._events += 1
            self._bytes += len(payload or b"")
            self._waiting.append((entry, payload))
            is_urgent = self._is_full
            must_plan = not self._is_planned or (is_urgent and not self._is_urgent)
            self._is_planned, self._is_urgent = True, is_urgent
        if must_plan:
            self._loop.call_soon_threadsafe(self._plan, is_urgent)
        return _Room(self)

    def hand_over(self) -> None:
        """Give everything that waits its place in the journal."""
        with self._changed:
            entries, self._waiting = self._waiting, []
            self._is_planned = self._is_urgent = False
        if entries:
            seq = 0
            for entry, payload in entries:
                seq = self._record(entry, payload)
            self._in_flight.append((seq, len(entries), sum(len(payload or b"") for _, payload in entries)))

    def became_durable(self, seq: int) -> None:
        """Make room: the journal is durable up to this event."""
        if not self._in_flight or self._in_flight[0][0] > seq:
            return
        with self._changed:
            while self._in_flight and self._in_flight[0][0] <= seq:
                _, events, size = self._in_flight.popleft()
                self._events -= events
                self._bytes -= size
            self._changed.notify_all()
        self._wake()

    def close(self) -> None:
        """Refuse everything from now on: the run is another worker's, or the app is closing."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._wake()

    async def room(self) -> None:
        """Wait until there is room."""
        while self._is_full and not self._is_closed:
            future: asyncio.Future[None] = self._loop.create_future()
            self._awaiting.append(future)
            await future

    @property
    def _is_full(self) -> bool:
        return self._events >= _FULL_EVENTS or self._bytes >= _FULL_BYTES

    def _refuse_misuse(self, speaker: _Speaker, entry: StreamEntry) -> None:
        if self._is_closed or speaker.is_over:
            raise StreamWriteError(entry.path, "this attempt is over: nobody waits for what it says any more")
        if self._said >= self._most:
            reason = f"the run has said {self._said:,} times something, the most there may be; raise max_stream_events"
            raise StreamWriteError(entry.path, reason)
        if self._events >= _MOST_EVENTS or self._bytes >= _MOST_BYTES:
            reason = "it says more than the store takes; `await ctx.write(...)` waits for room"
            raise StreamWriteError(entry.path, reason)

    def _plan(self, is_urgent: bool) -> None:  # noqa: FBT001 - handed through `call_soon_threadsafe`
        if is_urgent:
            self._flush_waiting()
        else:
            self._loop.call_later(self._flush_after(), self._flush_waiting)

    def _flush_waiting(self) -> None:
        if self._waiting:
            self._flush()

    def _wake(self) -> None:
        awaiting, self._awaiting = self._awaiting, []
        for future in awaiting:
            if not future.done():
                future.set_result(None)


class _Room:
    """Awaitable until there is room for more; need not be awaited."""

    __slots__ = ("_voice",)

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def __await__(self) -> Generator[Any, None, None]:
        return self._voice.room().__await__()


def entry_of(
    path: str, attempt: int, saying: Saying, now_ms: int, *, limit: int = DEFAULT_PAYLOAD_LIMIT
) -> tuple[StreamEntry, bytes | None]:
    """Return what a body says as the event that it is, and its payload.

    Raises:
        PayloadTooLargeError: It is larger than what may be recorded.
    """
    match saying:
        case Wrote(payload=payload):
            check_size(payload, f"chunk of step '{path}'", limit)
            return ChunkWritten(now_ms, path, attempt), payload
        case Progressed(done=done, total=total, message=message):
            return ProgressMade(now_ms, path, attempt, done, total, message), None
        case Emitted(name=name, payload=payload):
            check_size(payload, f"'{name}' of step '{path}'", limit)
            return DataEmitted(now_ms, path, attempt, name), payload
        case _:
            assert_never(saying)


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
