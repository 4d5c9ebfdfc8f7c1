"""Why a store answers nothing at all."""

from __future__ import annotations

from outlast.errors import ForkedAppError, OutlastError, StoreUnavailableError

__all__ = ["dead", "forked", "not_open"]


def not_open() -> OutlastError:
    """It was not opened, or closed again."""
    return StoreUnavailableError("the store is not open; open it first")


def dead() -> OutlastError:
    """The seam said that the process ended."""
    return StoreUnavailableError("the process is taken for dead; nothing more is written")


def forked() -> OutlastError:
    """It belongs to the parent of this process."""
    return ForkedAppError(
        "this store was open when the process was forked, and SQLite does not survive that; "
        "open it after forking only, or start the child with spawn instead of fork"
    )
