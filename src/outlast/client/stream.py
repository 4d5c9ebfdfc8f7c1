"""Watching a run of a server: its events, in order, each once, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

from outlast.client.encode import query_of
from outlast.client.transport import Transport
from outlast.immutable import immutable
from outlast.instant import from_ms
from outlast.results import RunResult
from outlast.stream import StreamEvent
from outlast.values import JsonValue, decode
from outlast.waiting import check_until, seconds_to_wait

if TYPE_CHECKING:
    from outlast.client.handle import RemoteRunHandle

__all__ = ["RemoteStream", "RemoteView"]

Out_co = TypeVar("Out_co", covariant=True)


@immutable
class RemoteView(Generic[Out_co]):
    """Where a stream begins: which run, and after which of its events."""

    run: RemoteRunHandle[Out_co]
    """A handle on the run."""
    after: int
    """The event after which it begins; 0 for the first."""


class RemoteStream(Generic[Out_co]):
    """The events of a run of a server: `async for event in stream`. See `RunStream`.

    A connection that breaks is made again, and reading goes on after the last event: none is lost or comes twice.
    """

    def __init__(
        self,
        transport: Transport,
        run_id: str,
        begin: Callable[[], Awaitable[RemoteView[Out_co]]],
        *,
        follow: bool = False,
        is_waiting: bool = True,
    ) -> None:
        self._transport = transport
        self._run_id = run_id
        self._begin = begin
        self._follow = follow
        self._is_waiting = is_waiting
        self._view: RemoteView[Out_co] | None = None

    @property
    def run_id(self) -> str:
        """Id of the run; once it began, that of the run that an idempotency key stands for."""
        return self._run_id if self._view is None else self._view.run.run_id

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Read from the beginning of the stream.

        Raises:
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer, again and again.
        """
        view = await self._ensure_begun()
        last = view.after
        while True:
            query = query_of(after=last, wait=_word(self._is_waiting), follow=_word(self._follow))
            async for data in self._transport.events(view.run.path("/events"), query=query):
                event = _decode(data)
                last = event.seq
                yield event
                if event.type == "workflow-finish" and self._is_waiting and not self._follow:
                    return
            if not self._is_waiting:
                return

    async def result(
        self,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
        until: Literal["rest", "end"] = "rest",
    ) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused, and return what is known of it then, read or not.

        Raises:
            TimeoutError: It took longer than `timeout` seconds. The run is not affected.
            RunNotFoundError: No kept run has this id.
            InputError: `until` or `timeout` is something else. Nothing was begun.
        """
        check_until(until)
        seconds_to_wait(timeout)
        view = await self._ensure_begun()
        return await view.run.result(timeout=timeout, until=until)

    async def _ensure_begun(self) -> RemoteView[Out_co]:
        if self._view is None:
            self._view = await self._begin()
        return self._view

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self.run_id!r})"


def _word(flag: bool) -> str:  # noqa: FBT001 - a flag is all it is
    return "true" if flag else "false"


def _decode(data: bytes) -> StreamEvent:
    wire = cast("dict[str, JsonValue]", decode(data))
    return StreamEvent(
        seq=int(str(wire["seq"])),
        at=from_ms(int(str(wire["at"]))),
        type=str(wire["type"]),
        run_id=str(wire["runId"]),
        execution=int(str(wire["execution"])),
        source="user" if wire["from"] == "user" else "workflow",
        payload=cast("dict[str, JsonValue]", wire["payload"]),
    )
