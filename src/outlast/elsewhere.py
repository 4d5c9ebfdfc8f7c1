"""Verbs that are looked for on the wrong object: what is said to who forgot a step on the way to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["PointsElsewhere"]


class PointsElsewhere:
    """Base of what lies on the way to a verb: an attribute that it lacks is answered with where it is.

    Only at run time: type checkers are to refuse what is not there.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            advice = "" if name.startswith("_") else self._where(name)
            message = f"'{type(self).__name__}' object has no attribute '{name}'" + (f": {advice}" if advice else "")
            raise AttributeError(message, name=name, obj=self)

    def _where(self, name: str) -> str:
        """Return where an attribute is that this object lacks; empty if nowhere."""
        raise NotImplementedError
