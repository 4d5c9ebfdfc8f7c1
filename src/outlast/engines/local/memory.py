"""The garbage collector, kept out of the way where much comes to life at once and nothing of it is garbage."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["collector_paused"]


@contextmanager
def collector_paused() -> Generator[None]:
    """Pause the cyclic garbage collector for a block that does not await.

    While a worker takes thousands of runs over, each collection would look at all those before: that took more time
    than the takeover itself. A collector that the program has switched off stays off.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
