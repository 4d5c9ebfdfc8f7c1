"""What holds for every test: async tests run, and nothing outlives its test."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import signal
import threading
import traceback
from collections.abc import Callable, Coroutine, Generator, Iterator

import hypothesis
import pytest

from temporal_server import TemporalServer, running_server

# No deadline for one example: on a busy machine it would measure the neighbours.
hypothesis.settings.register_profile("outlast", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=10)
hypothesis.settings.load_profile("outlast")

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that; some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded by its end stays: no collection of garbage looks at it, then or test after test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Give each `async def` test an event loop of its own. Fixtures stay sync; tests use `async with`."""
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test):
        pyfuncitem.obj = _in_event_loop(test)
    handle = getattr(test, "hypothesis", None)
    if handle is not None and inspect.iscoroutinefunction(handle.inner_test):
        handle.inner_test = _in_event_loop(handle.inner_test)


def _in_event_loop(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        asyncio.run(_without_leak(test(*args, **kwargs)), debug=False)

    return run


async def _without_leak(test: Coroutine[object, object, None]) -> None:
    try:
        await test
    except asyncio.CancelledError:
        traceback.print_exc()  # a timeout cancels: show which await was hanging
        raise
    leaked = asyncio.all_tasks() - {asyncio.current_task()}
    assert not leaked, f"tasks left running: {sorted(task.get_name() for task in leaked)}"


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """A server that the tests share; each uses names of its own."""
    with running_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    leaked = [thread.name for thread in threading.enumerate() if thread not in before and not thread.daemon]
    assert not leaked, f"threads left running: {sorted(leaked)}"
