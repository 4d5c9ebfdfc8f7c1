"""The recorded values that somebody may need: kept in memory up to a bound, read again from the journal beyond it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from outlast.core.record import Record
from outlast.core.ref import DictOf, ListOf, Ref, Resolver, Sizes, seqs_of
from outlast.errors import PayloadTooLargeError
from outlast.values import LARGEST_JOINED

__all__ = ["LoadFacts", "RunValues"]

LoadFacts: TypeAlias = Callable[[int, int], Awaitable[Sequence[Record]]]
"""Reads the facts of the run after one `seq` up to another."""

_LARGEST_GAP = 64
_JOINED = (ListOf, DictOf)


class RunValues:
    """The payloads of one run's journal, the newest ones in memory.

    It does not know where they are read again: what belongs to a run and leads back to it would be a cycle for each.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._payloads: dict[int, bytes] = {}
        self._bytes = 0
        self.has_evicted = False
        """Whether anything may be missing: until then, nobody has to ask."""
        self._evicted = Sizes()
        self._resolver = Resolver(self._payloads, self._evicted)

    def keep(self, seq: int, payload: bytes) -> None:
        """Remember the payload of an event; the oldest ones are forgotten when there are too many."""
        self._payloads[seq] = payload
        self._bytes += len(payload)
        if self._bytes > self._most_bytes:
            self._evict()

    def to_load(self, *refs: Ref | None) -> list[int]:
        """Return the events to read again before these values can be had or be refused for their size (rule 9.7).

        A value that was recorded in parts and is too large to be put together needs none of them: their sizes are
        known, so that it is refused before it fills the memory.
        """
        if not self.has_evicted:
            return []
        return self.missing(*(ref for ref in refs if ref is not None and not self._is_too_large(ref)))

    def missing(self, *refs: Ref | None) -> list[int]:
        """Return the events whose payloads these references need and that are not in memory."""
        if not self.has_evicted:
            return []
        wanted = {seq for ref in refs if ref is not None for seq in seqs_of(ref)}
        return sorted(seq for seq in wanted if seq not in self._payloads)

    async def load(self, seqs: list[int], load_facts: LoadFacts) -> None:
        """Read payloads again; they are in memory until something new is kept.

        Raises:
            StoreError: The store did not answer.
        """
        for first, last in _ranges(seqs):
            for record in await load_facts(first - 1, last):
                if record.payload is not None and record.seq not in self._payloads:
                    self._payloads[record.seq] = record.payload
                    self._bytes += len(record.payload)

    def resolve(self, ref: Ref) -> bytes:
        """Return a value as JSON. Everything it needs is in memory: see `to_load`."""
        return self._resolver.resolve(ref)

    def materialize(self, ref: Ref, subject: str) -> bytes:
        """Return a value as JSON unless it is too large to be put together; see `to_load`.

        Raises:
            PayloadTooLargeError: It is, and names the subject.
        """
        self.check_size(ref, subject)
        return self._resolver.resolve(ref)

    def check_size(self, ref: Ref, subject: str) -> None:
        """Refuse a value that was recorded in parts and is too large to be put together (rule 9.7).

        Nothing of it has to be in memory.

        Raises:
            PayloadTooLargeError: It is, and names the subject.
        """
        if self._is_too_large(ref):
            raise PayloadTooLargeError(subject, self._resolver.size(ref), LARGEST_JOINED)

    def is_joined(self, ref: Ref) -> bool:
        """Say whether a value was recorded in parts."""
        return isinstance(ref, _JOINED)

    def length(self, ref: Ref) -> int:
        """Return how many items a list has. Its items are kept until `forget` unless it was recorded in parts.

        Raises:
            InvalidValueError: It is not a list.
        """
        return self._resolver.length(ref)

    def forget(self, ref: Ref) -> None:
        """Let go of the items of a list."""
        self._resolver.forget(ref)

    def _is_too_large(self, ref: Ref) -> bool:
        return self.is_joined(ref) and self._resolver.size(ref) > LARGEST_JOINED

    def _evict(self) -> None:
        self.has_evicted = True
        for seq in list(self._payloads):
            if self._bytes <= self._most_bytes // 2:
                return
            size = len(self._payloads.pop(seq))
            self._evicted.note(seq, size)
            self._bytes -= size


def _ranges(seqs: list[int]) -> list[tuple[int, int]]:
    """Group sorted numbers into ranges, so that few reads fetch many of them."""
    ranges: list[tuple[int, int]] = []
    for seq in seqs:
        if ranges and seq - ranges[-1][1] <= _LARGEST_GAP:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
