"""The door for programs without an event loop, as scripts, Flask and Django: `await` becomes a call."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, suppress
from inspect import iscoroutine
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar, cast

from outlast.app import Outlast
from outlast.errors import DoorError, ForkedAppError
from outlast.graph.committed import current_host

__all__ = ["Door"]

T = TypeVar("T")
App_co = TypeVar("App_co", bound=AbstractAsyncContextManager[Any], covariant=True)

_END: Final = object()


class Door(Generic[App_co]):
    """Lets a sync program use an app, or the client of a server.

    Where async code says `await run.start(...)`, it says `wait(run.start(...))`.

    ::

        with Door(Outlast([letter], store="letters.db")) as wait:
            run = wait(letter.create_run())
            print(wait(run.start(input_data="May")).unwrap())

    The app lives in one background thread with an event loop of its own, which drives runs all the time. A door may be
    called from many threads at once. It is opened by `with`, by `open()`, or by its first call, in whichever process
    that is: so it can stand in a module that is imported before a server forks. Leaving `with`, or `close()`, leaves
    the app in good order; a door that nobody closes is closed when the interpreter ends.
    """

    def __init__(self, app: App_co) -> None:
        """Describe the door; nothing is opened yet.

        Args:
            app: The app or the client, which nobody else enters.
        """
        self.app = app
        """The app, for what needs no waiting, as `door.app.run(run_id)`."""
        self._state: Literal["new", "open", "closed"] = "new"
        self._pid: int | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._ended: Future[None] = Future()
        self._at_exit = _closer(weakref.ref(self))

    def open(self) -> Self:
        """Open the app now, so that it takes over what dead workers left. Nothing happens if it is open.

        Raises:
            DoorError: It was closed, or an event loop runs here.
            ForkedAppError: It was opened in the parent of this process.
            ConfigurationError: The path cannot be used; or the app was entered elsewhere.
            StoreError: The store cannot be used; the message says what to do.
        """
        self._check_place()
        with self._lock:
            self._open()
        return self

    def close(self) -> None:
        """Leave the app in good order: see `on_exit` and `drain` of `Outlast`. Idempotent.

        Whoever waits in another thread gets an error; runs are not affected.

        Raises:
            DoorError: An event loop runs here.
            ForkedAppError: It was opened in the parent of this process.
        """
        self._check_place()
        with self._lock:
            was_open, self._state = self._state == "open", "closed"
        if was_open and self._loop is not None and self._closing is not None:
            atexit.unregister(self._at_exit)
            self._loop.call_soon_threadsafe(self._closing.set)
        if self._pid is not None:
            self._ended.result()

    def __enter__(self) -> Self:
        """Open it; see `open`."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; see `close`."""
        self.close()

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for what async code would await, and return its result or raise its error.

        An interrupt (Ctrl-C) while it waits cancels the waiting; the run is not affected.

        Raises:
            DoorError: The door is closed, or was closed meanwhile; or an event loop runs here, which would stand still.
            ForkedAppError: It was opened in the parent of this process.
        """
        if not iscoroutine(cast("object", coroutine)):
            message = f"a door waits for what `await` takes, as wait(run.start()), not for {coroutine!r:.60}"
            raise TypeError(message)
        try:
            future = self._submit(coroutine)
        except BaseException:
            coroutine.close()  # nobody will await it
            raise
        try:
            return future.result()
        except CancelledError:
            if self._state == "closed":
                raise _closed("was closed while somebody waited") from None
            raise
        except BaseException:
            future.cancel()  # an interrupt of this thread; what the coroutine raises comes when it is done
            raise

    def iterate(self, items: AsyncIterable[T]) -> Iterator[T]:
        """Wait for one item after the other: what `async for` is in async code, as for a stream of events.

        Raises:
            DoorError: As for a call.
        """
        iterator = aiter(items)
        try:
            while (item := self(_next(iterator))) is not _END:
                yield cast("T", item)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None and self._state == "open":
                self(_await(close()))

    # ---- In the threads of the callers

    def _check_place(self) -> None:
        if self._pid is not None and self._pid != os.getpid():
            raise ForkedAppError(
                "this door was opened before the process forked, and its thread and its store belong to the parent; "
                "open it after forking only: by its first call, or by open() in each process"
            )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise DoorError(
            "an event loop runs in this thread and would stand still while the door waits; "
            "use `await` here, and `async with Outlast(...)` instead of a door"
        )

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        self._check_place()
        with self._lock:  # so that nothing is handed over to a loop that is about to end
            loop = self._open()
            context = contextvars.copy_context()
            if isinstance(self.app, Outlast):
                context.run(current_host.set, (*current_host.get(), self.app))
            handed_over: Future[T] = context.run(asyncio.run_coroutine_threadsafe, coroutine, loop)
            return handed_over

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._state == "closed":
            raise _closed("is closed")
        if self._state == "open" and self._loop is not None:
            return self._loop
        self._pid = os.getpid()
        self._ended = Future()
        opened: Future[asyncio.AbstractEventLoop] = Future()
        threading.Thread(target=self._serve, args=(opened,), name="outlast-door", daemon=True).start()
        try:
            self._loop = opened.result()
        except BaseException:
            if opened.cancel():  # an interrupt of this thread: the app is left again, and cannot be entered twice
                self._state = "closed"
            else:
                self._pid = None
            raise
        self._state = "open"
        atexit.register(self._at_exit)
        return self._loop

    # ---- In the thread of the door

    def _serve(self, opened: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._live(opened))
        except BaseException as error:  # noqa: BLE001 - belongs to whoever opens or closes
            if not opened.done():
                opened.set_exception(error)
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _live(self, opened: Future[asyncio.AbstractEventLoop]) -> None:
        self._closing = asyncio.Event()
        async with self.app:
            if opened.set_running_or_notify_cancel():
                opened.set_result(asyncio.get_running_loop())
                await self._closing.wait()


def _closed(what: str) -> DoorError:
    return DoorError(f"this door {what}; runs are not affected. A door is opened once: make another one")


def _closer(door: weakref.ref[Door[Any]]) -> Callable[[], None]:
    def close() -> None:
        opened = door()
        # A new thread may be refused by now. Then the store is left as by a process that ends: nothing is lost.
        with suppress(RuntimeError, ForkedAppError):
            if opened is not None:
                opened.close()

    return close


async def _next(iterator: AsyncIterator[T]) -> T | object:
    return await anext(iterator, _END)


async def _await(awaitable: Any) -> None:  # noqa: ANN401 - whatever an iterator gives
    await awaitable
