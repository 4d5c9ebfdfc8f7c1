"""Being told to stop: the first signal asks, the second one insists."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["stop_signals", "stop_with_stdin"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals(on_first: Callable[[], None]) -> Generator[None]:
    """Within the block, call `on_first` on the running loop at the first SIGTERM or SIGINT; end at once at the second.

    Handlers of the interpreter rather than of the loop: the second signal must work while a body blocks the loop. What
    was in flight then is recovered by the next worker, as after a crash.
    """
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if seen:
            sys.stderr.write("ended at once; runs in flight go on when a worker starts\n")
            sys.stderr.flush()
            os._exit(128 + number)
        seen.append(number)
        loop.call_soon_threadsafe(on_first)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_with_stdin() -> None:
    """From now on, ask this process to stop, as by SIGTERM, when its stdin ends: when whoever started it is gone.

    However it went: a process that was killed, or whose terminal was closed, can tell nobody any more.
    """

    def wait() -> None:
        while os.read(0, 4_096):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="outlast-stdin", daemon=True).start()
