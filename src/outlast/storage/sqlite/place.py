"""Where the file lies: that it is still the one that was opened, and that its disk has room for more runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from outlast.errors import StoreError, StoreUnavailableError

__all__ = ["DEFAULT_LEAST_FREE", "Place", "Room"]

DEFAULT_LEAST_FREE: Final = 64 * 1024 * 1024
_LOOK_FOR_ROOM_EVERY_S: Final = 0.05
"""In this time a fast disk does not take what is kept free."""
_LOOK_FOR_FILE_EVERY_S: Final = 0.01
"""Looking before each commit would cost a twentieth of a short run, and could not close the gap up to the commit."""


class Place:
    """Remembers which file was opened. A file that is deleted while open takes writes that nobody finds again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = _identity_of(path)
        self._looked_at = float("-inf")

    def check(self) -> None:
        """Make sure that the path led to the file that was opened, a hundredth of a second ago at most.

        Raises:
            StoreUnavailableError: Put the file back, or restart on what is there now.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOK_FOR_FILE_EVERY_S:
            return
        if _identity_of(self._path) != self._identity:
            message = (
                f"{self._path} was deleted or replaced while it was open, so nothing more is written to it; "
                "put the same file back, or restart to use what is there now"
            )
            raise StoreUnavailableError(message)
        self._looked_at = now


class Room:
    """Looks at the room on the disk, now and then: runs under way must be able to record how they end."""

    def __init__(self, path: str, *, least_free: int) -> None:
        self._path = path
        self._directory = Path(path).parent
        self._least_free = least_free
        self._looked_at = float("-inf")
        self._refusal: StoreError | None = None

    def refusal(self) -> StoreError | None:
        """Return why no new run may be recorded now; None if there is room."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_FOR_ROOM_EVERY_S:
            self._looked_at = now
            self._refusal = self._look()
        return self._refusal

    def _look(self) -> StoreError | None:
        try:
            disk = os.statvfs(self._directory)
        except OSError:
            return None  # the commit meets whatever is wrong, and can say more
        free = disk.f_bavail * disk.f_frsize
        if free >= self._least_free:
            return None
        return StoreUnavailableError(
            f"{self._path}: only {free / 1e6:,.0f} MB are free on its disk, so no new run is recorded and those under "
            f"way can end; make room for {self._least_free / 1e6:,.0f} MB, then try again"
        )


def _identity_of(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
    except OSError:
        return None
    return status.st_dev, status.st_ino
