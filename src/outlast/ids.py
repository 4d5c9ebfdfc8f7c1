"""Run ids: UUIDs of version 7, which sort by the time they were made, and of version 8, which follow from others."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import Final

__all__ = ["RunIds", "derive_run_id", "run_ids"]

_COUNTER_BITS = 42
_COUNTER_START_BITS = 41
_RANDOM_BITS = 32


class RunIds:
    """Makes run ids that grow strictly within one process (RFC 9562, section 6.2, method 1).

    48 bits of Unix milliseconds, then a 42-bit counter that starts at a random value each millisecond, then 32 random
    bits. When the clock goes back, the last millisecond is used on, so that order never depends on it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def next(self) -> str:
        """Return a new id; larger, also as text, than every id made before by this object."""
        now_ms = time.time_ns() // 1_000_000
        random = int.from_bytes(os.urandom(10))
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._counter = random >> (80 - _COUNTER_START_BITS)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._last_ms += 1
                    self._counter = 0
            ms, counter = self._last_ms, self._counter
        high, low = counter >> 30, counter & 0x3FFFFFFF
        return _render(ms << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low << _RANDOM_BITS | (random & 0xFFFFFFFF))


run_ids: Final = RunIds()
"""Makes the ids of all runs of this process, so that they grow whatever makes the run."""


def derive_run_id(*parts: str) -> str:
    """Return the id that follows from these parts: always the same, and another one for other parts (version 8)."""
    told = b"".join(b"%d:%s" % (len(raw), raw) for raw in (part.encode(errors="surrogatepass") for part in parts))
    digest = int.from_bytes(hashlib.blake2b(told, digest_size=16).digest())
    version, variant = 0xF << 76, 0b11 << 62
    return _render(digest & ~version & ~variant | 8 << 76 | 0b10 << 62)


def _render(value: int) -> str:
    text = f"{value:032x}"  # `str(uuid.UUID(int=value))` takes three times as long
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
