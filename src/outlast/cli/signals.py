"""Being told to stop: the first signal asks, the second one insists."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["stop_signals"]

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
