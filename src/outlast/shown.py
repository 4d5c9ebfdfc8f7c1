"""How much of what a caller named is repeated in messages: enough to recognise it, never a megabyte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["listed", "shown"]

_WHOLE: Final = 200  # as long as ids may be
_HEAD: Final = 60
_MOST: Final = 10


def shown(text: str) -> str:
    """Return a name as messages show it: whole if it could be an id, else its beginning and its length."""
    return text if len(text) <= _WHOLE else f"{text[:_HEAD]}... ({len(text):,} characters)"


def listed(names: Sequence[str]) -> str:
    """Return names as messages list them: the first ten, and how many there are beside them."""
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more:,} more" if more > 0 else "")
