"""Up to where a handle knows a run, as text that goes over a wire and comes back."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import cast

from outlast.errors import InputError, Problem
from outlast.values import InvalidValueError, decode, encode

__all__ = ["Mark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was asked of a run through a handle: a rest counts only if it comes after that."""

    after: int = 0
    """The journal must have grown beyond this event."""
    resumed: frozenset[tuple[str, int]] = frozenset()
    """These suspensions must be gone."""

    def to_text(self) -> str:
        """Return it as text whose form means nothing to others."""
        resumed = sorted([path, number] for path, number in self.resumed)
        return urlsafe_b64encode(encode([self.after, resumed])).decode().rstrip("=")

    @staticmethod
    def from_text(text: str) -> Mark:
        """Read what `to_text` wrote.

        Raises:
            InputError: It is something else.
        """
        try:
            value = decode(urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
        except (binascii.Error, InvalidValueError, UnicodeEncodeError):
            value = None
        match value:
            case [int(after), [*resumed]] if all(_is_suspension(each) for each in resumed):
                pairs = cast("list[tuple[str, int]]", resumed)
                return Mark(after=after, resumed=frozenset((path, number) for path, number in pairs))
            case _:
                raise InputError("mark", (Problem("", "it is none; hand over what an earlier answer gave"),))


def _is_suspension(value: object) -> bool:
    match value:
        case [str(), int()]:
            return True
        case _:
            return False
