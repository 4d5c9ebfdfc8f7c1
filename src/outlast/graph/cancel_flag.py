"""How a body sees that its run is being canceled."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Protocol

__all__ = ["CancelFlag", "Flag"]


class Flag(Protocol):
    """Something that becomes true once; an event of the engine's loop."""

    def is_set(self) -> bool:
        """Say whether it is true."""
        ...

    def wait(self) -> Coroutine[Any, Any, Any]:
        """Wait until it is true."""
        ...


class CancelFlag:
    """Whether the run is being canceled: true or false, and awaitable until it is true."""

    __slots__ = ("_flag",)

    def __init__(self, flag: Flag) -> None:
        self._flag = flag

    def __bool__(self) -> bool:
        """Say whether the run is being canceled."""
        return self._flag.is_set()

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait until the run is being canceled."""
        return self._flag.wait().__await__()
