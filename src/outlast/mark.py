"""Up to where a handle knows a run, as text that goes over a wire and comes back."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import cast

from outlast.core.public import public_seq
from outlast.errors import InputError, Problem
from outlast.immutable import frozen
from outlast.values import InvalidValueError, decode, encode

__all__ = ["Mark"]


@frozen
class Mark:
    """What was asked of a run through a handle: a rest counts only if it comes after that."""

    after: int = 0
    """The journal must have grown beyond this event."""
    answered: frozenset[tuple[int, str, int]] = frozenset()
    """These suspensions and pauses, as execution, path and number, must be gone."""

    @property
    def last_event(self) -> int:
        """`seq` of the last event of a stream that belongs to what was known: what was asked comes after it."""
        return public_seq(self.after + 1, 0) - 1

    def to_text(self) -> str:
        """Return it as text whose form means nothing to others."""
        answered = [list(each) for each in sorted(self.answered)]
        return urlsafe_b64encode(encode([self.after, answered])).decode().rstrip("=")

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
            case [int(after), [*answered]] if all(_is_wait(each) for each in answered):
                waits = cast("list[tuple[int, str, int]]", answered)
                return Mark(after=after, answered=frozenset((each[0], each[1], each[2]) for each in waits))
            case _:
                raise InputError("mark", (Problem("", "it is none; hand over what an earlier answer gave"),))


def _is_wait(value: object) -> bool:
    match value:
        case [int(), str(), int()]:
            return True
        case _:
            return False
