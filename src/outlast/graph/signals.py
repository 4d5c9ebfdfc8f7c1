"""How a body leaves early: suspend, bail and abort are exceptions on the way out of it, and never leave the engine."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from outlast.immutable import immutable

__all__ = ["AbortCall", "BailCall", "BodySignal", "SignalCall", "SuspendCall"]


@immutable
class SuspendCall:
    """`ctx.suspend(...)` was called."""

    payload: object
    """What is told to those who ask."""
    label: str | None
    """A name by which it can be resumed."""
    timeout: timedelta | None
    """How long it waits; None for ever."""


@immutable
class BailCall:
    """`ctx.bail(...)` was called."""

    value: object
    """What the workflow or block ends with."""


@immutable
class AbortCall:
    """`ctx.abort()` was called."""


SignalCall: TypeAlias = SuspendCall | BailCall | AbortCall
"""What a body asked for; the first call counts."""


class BodySignal(BaseException):
    """Carries control out of a body. Not an `Exception`, so that `except Exception` in user code lets it through."""
