"""References to values. The core holds no user's value: it says where one is recorded, or how to put it together."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import TypeAlias, assert_never

from outlast.immutable import immutable
from outlast.values import encode, join_dict, join_list, split_list

__all__ = ["Constant", "DictOf", "Item", "ListOf", "Recorded", "Ref", "Resolver", "Sizes", "item_of", "seqs_of"]


@immutable
class Recorded:
    """The payload of one event."""

    seq: int
    """`seq` of the event."""


@immutable
class Item:
    """One item of a list."""

    of: Ref
    """The list."""
    index: int
    """0-based place in it."""


@immutable
class ListOf:
    """A list put together from values."""

    items: tuple[Ref, ...]
    """Its items, in order."""


@immutable
class DictOf:
    """An object put together from values."""

    items: tuple[tuple[str, Ref], ...]
    """Its keys and values, in order."""


@immutable
class Constant:
    """A value that the graph itself holds."""

    raw: bytes
    """The value as JSON: unlike the value itself it can be hashed, as all references must."""


Ref: TypeAlias = "Recorded | Item | ListOf | DictOf | Constant"
"""Closed on purpose: whoever resolves references handles each kind."""


def item_of(of: Ref, index: int) -> Ref:
    """Return a reference to one item of a list, without a detour where the list was itself put together."""
    return of.items[index] if isinstance(of, ListOf) else Item(of, index)


class Sizes:
    """How large the payloads of a journal are, at a few bytes for each event: there may be millions."""

    def __init__(self) -> None:
        self._sizes = array("I")

    def note(self, seq: int, size: int) -> None:
        """Remember how large the payload of an event is; no payload is empty."""
        if seq >= len(self._sizes):
            self._sizes.frombytes(bytes(self._sizes.itemsize * (seq + 1 - len(self._sizes))))
        self._sizes[seq] = size

    def find(self, seq: int) -> int | None:
        """Return how large the payload of an event is; None if nobody noted it."""
        return (self._sizes[seq] or None) if seq < len(self._sizes) else None


class Resolver:
    """Turns references into values as JSON, given the recorded payloads."""

    def __init__(self, payloads: Mapping[int, bytes], sizes: Sizes | None = None) -> None:
        """Take the payloads that are at hand, and the sizes of those that are not."""
        self._payloads = payloads
        self._sizes = Sizes() if sizes is None else sizes
        self._splits: dict[Ref, list[bytes]] = {}

    def resolve(self, ref: Ref) -> bytes:
        """Return the value as JSON.

        Raises:
            KeyError: A payload that belongs to it is not there.
            InvalidValueError: An item of something that is not a list was asked for.
        """
        match ref:
            case Recorded(seq=seq):
                return self._payloads[seq]
            case Item(of=of, index=index):
                return self.split(of)[index]
            case ListOf(items=items):
                return join_list(self.resolve(each) for each in items)
            case DictOf(items=pairs):
                return join_dict((key, self.resolve(each)) for key, each in pairs)
            case Constant(raw=raw):
                return raw
            case _:
                assert_never(ref)

    def size(self, ref: Ref) -> int:
        """Return how many bytes `resolve` gives, without putting the value together.

        A payload that is not at hand counts with the size that was noted. An item of such a one counts as nothing, so
        that the answer is the least that it can be.

        Raises:
            KeyError: A payload that belongs to it is not there, and nobody noted its size.
            InvalidValueError: An item of something that is not a list was asked for.
        """
        match ref:
            case Recorded(seq=seq) if seq not in self._payloads and (noted := self._sizes.find(seq)):
                return noted
            case Item(of=of) if of not in self._splits and any(map(self._is_away, seqs_of(of))):
                return 0
            case ListOf(items=items):
                return sum(map(self.size, items)) + max(len(items) + 1, 2)
            case DictOf(items=pairs):
                own = sum(len(encode(key)) + 1 for key, _ in pairs) + max(len(pairs) + 1, 2)
                return own + sum(self.size(each) for _, each in pairs)
            case _:
                return len(self.resolve(ref))

    def length(self, ref: Ref) -> int:
        """Return how many items a list has; one that was put together is counted without any payload.

        Raises:
            KeyError: A payload that belongs to it is not there.
            InvalidValueError: It is not a list.
        """
        return len(ref.items) if isinstance(ref, ListOf) else len(self.split(ref))

    def split(self, ref: Ref) -> list[bytes]:
        """Return the items of a list, each as JSON; kept until `forget`, so that n items cost O(n).

        Raises:
            KeyError: A payload that belongs to it is not there.
            InvalidValueError: It is not a list.
        """
        if isinstance(ref, ListOf):
            return [self.resolve(each) for each in ref.items]
        if isinstance(ref, DictOf):
            return split_list(b"{}")  # refused like any other object, without putting this one together
        items = self._splits.get(ref)
        if items is None:
            items = self._splits[ref] = split_list(self.resolve(ref))
        return items

    def forget(self, ref: Ref) -> None:
        """Let go of the items of a list."""
        if not isinstance(ref, ListOf):
            self._splits.pop(ref, None)

    def _is_away(self, seq: int) -> bool:
        return seq not in self._payloads and self._sizes.find(seq) is not None


def seqs_of(ref: Ref) -> Iterator[int]:
    """Yield the events whose payloads a value is made of."""
    match ref:
        case Recorded(seq=seq):
            yield seq
        case Item(of=of):
            yield from seqs_of(of)
        case ListOf(items=items):
            for each in items:
                yield from seqs_of(each)
        case DictOf(items=pairs):
            for _, each in pairs:
                yield from seqs_of(each)
        case Constant():
            return
        case _:
            assert_never(ref)
