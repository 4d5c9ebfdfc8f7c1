"""What a schedule does at a moment: a pure function of where it stands and of the time (rule 16).

Nothing here fires anything. A decision becomes true when it is recorded, by one scheduler, in one transaction.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, Literal, NamedTuple, TypeAlias

from outlast.immutable import immutable
from outlast.scheduling.schedule import CatchUp, Overlap
from outlast.scheduling.timing import Timing

__all__ = ["MOST_QUEUED", "ON_TIME_MS", "Decision", "Dropped", "Fate", "Queued", "Standing", "Verdict", "decide"]

ON_TIME_MS: Final = 60_000
"""How late a firing may be and still count as in time."""
MOST_QUEUED: Final = 100
"""How many firings of one schedule wait at most."""
_AT_ONCE: Final = 100
"""How many firings one decision holds at most; the others follow in the next one."""
_COUNTED: Final = 1_000
"""How many missed times are counted; more are many."""

Fate: TypeAlias = Literal["fired", "queued", "skipped"]
"""What becomes of a time."""


class Queued(NamedTuple):
    """A firing that waits for the run before it to end."""

    number: int
    """Number of its trigger."""
    at_ms: int
    """Its time."""


class Verdict(NamedTuple):
    """What becomes of a time, or of several that are missed together."""

    at_ms: int
    """The time, or the first of them."""
    until_ms: int
    """The time, or the last of them."""
    times: int | None
    """How many there are; None for more than a thousand."""
    fate: Fate
    """What becomes of it."""
    reason: str = ""
    """Why it does not fire, or not yet."""


class Dropped(NamedTuple):
    """A firing that waited and will not happen."""

    queued: Queued
    """The firing."""
    reason: str
    """Why."""


@immutable(kw_only=True)
class Standing:
    """Where a schedule stands."""

    schedule_id: str
    """Its id."""
    timing: Timing
    """When it fires."""
    overlap: Overlap
    """What a firing does while the run before it has not ended."""
    catch_up: CatchUp
    """What becomes of missed times."""
    next_ms: int | None
    """The first time that is not dealt with; None if there is none any more."""
    is_active: bool
    """Whether a run of it has not ended."""
    queued: tuple[Queued, ...] = ()
    """The firings that wait, oldest first."""


@immutable(kw_only=True)
class Decision:
    """What a schedule does now."""

    next_ms: int | None
    """The first time that is then not dealt with."""
    verdicts: tuple[Verdict, ...] = ()
    """What becomes of the times that are due, in their order."""
    released: Queued | None = None
    """The firing that waited and happens now."""
    dropped: tuple[Dropped, ...] = ()
    """The firings that waited and will not happen."""
    cancels: bool = False
    """Whether the runs that have not ended are to be canceled."""
    is_full: bool = False
    """Whether times are due that have no room to wait: they are dealt with once a run has ended."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing happens."""
        return not self.verdicts and self.released is None and not self.dropped


def decide(standing: Standing, now_ms: int) -> Decision:
    """Say what a schedule does at a moment.

    Guarantees:
        Each time of the timing is in one verdict of one decision, if each decision is recorded before the next is made.
        The firing that waits for the longest time goes before those that are due now. At most one firing starts,
        unless overlapping is allowed.
    """
    if standing.overlap == "cancel":
        return _replacing(standing, now_ms)
    queue = list(standing.queued)
    is_active = standing.is_active
    released = queue.pop(0) if queue and not is_active else None
    is_active = is_active or released is not None
    room = _AT_ONCE
    if standing.overlap == "queue" and standing.catch_up == "all":
        room = min(room, MOST_QUEUED - len(queue) + (not is_active))
    times, missed, next_ms = _due_times(standing, now_ms, room)
    verdicts = list(missed)
    waiting = len(queue)
    for at_ms in times:
        if not is_active or standing.overlap == "allow":
            verdicts.append(_one(at_ms, "fired"))
            is_active = True
        elif standing.overlap == "skip":
            verdicts.append(_one(at_ms, "skipped", "the run before it had not ended (overlap='skip')"))
        elif waiting >= MOST_QUEUED:
            verdicts.append(_one(at_ms, "skipped", f"{MOST_QUEUED} firings waited already (overlap='queue')"))
        else:
            verdicts.append(_one(at_ms, "queued", "waits for the run before it to end (overlap='queue')"))
            waiting += 1
    is_full = room == 0 and next_ms is not None and _is_due(standing, next_ms, now_ms)
    return Decision(next_ms=next_ms, verdicts=tuple(verdicts), released=released, is_full=is_full)


def _replacing(standing: Standing, now_ms: int) -> Decision:
    """Decide where a later firing takes the place of an earlier one, which is canceled or does not even begin."""
    times, missed, next_ms = _due_times(standing, now_ms, _AT_ONCE)
    if not times:
        is_free = bool(standing.queued) and not standing.is_active
        return Decision(next_ms=next_ms, verdicts=tuple(missed), released=standing.queued[0] if is_free else None)
    reason = "a later firing took its place (overlap='cancel')"
    verdicts = [*missed, *(_one(at_ms, "skipped", reason) for at_ms in times[:-1])]
    if standing.is_active:
        waits = "waits for the run before it, which is being canceled (overlap='cancel')"
        verdicts.append(_one(times[-1], "queued", waits))
    else:
        verdicts.append(_one(times[-1], "fired"))
    return Decision(
        next_ms=next_ms,
        verdicts=tuple(verdicts),
        dropped=tuple(Dropped(each, reason) for each in standing.queued),
        cancels=standing.is_active,
    )


def _due_times(standing: Standing, now_ms: int, room: int) -> tuple[list[int], list[Verdict], int | None]:
    """Return the times to fire, what is missed, and the time after them."""
    if standing.next_ms is None:
        return [], [], None
    timing = standing.timing
    if standing.catch_up == "all":
        return _all_due(standing, now_ms, room)
    due: list[int] = []
    following: int | None = standing.next_ms
    while following is not None and _is_due(standing, following, now_ms) and len(due) <= _COUNTED:
        due.append(following)
        following = timing.next_after(following)
    if not due:
        return [], [], standing.next_ms
    first, last, count = due[0], due[-1], len(due)
    if count > _COUNTED:  # more than are worth counting: go to the end of them at once
        last = _latest_due(standing, now_ms, last)
        following = timing.next_after(last)
    is_late = now_ms - timing.due_at(standing.schedule_id, last) > ON_TIME_MS
    if standing.catch_up == "none" and is_late:
        reason = "nobody was there in time (catch_up='none')"
        return [], [Verdict(first, last, count if count <= _COUNTED else None, "skipped", reason)], following
    if count == 1:
        return [last], [], following
    before = due[-2] if count <= _COUNTED else timing.latest_until(last - 1) or first
    reason = f"nobody was there in time; the latest is fired (catch_up='{standing.catch_up}')"
    missed = Verdict(first, before, count - 1 if count <= _COUNTED else None, "skipped", reason)
    return [last], [missed], following


def _all_due(standing: Standing, now_ms: int, room: int) -> tuple[list[int], list[Verdict], int | None]:
    assert standing.next_ms is not None  # noqa: S101 - the caller looked
    following: int | None = standing.next_ms
    due: list[int] = []
    for at_ms in islice(standing.timing.later(standing.next_ms - 1), room):
        if not _is_due(standing, at_ms, now_ms):
            break
        due.append(at_ms)
        following = standing.timing.next_after(at_ms)
    return due, [], following


def _latest_due(standing: Standing, now_ms: int, known: int) -> int:
    """Return the last time that is due; `known` is one of those that are."""
    at_ms = standing.timing.latest_until(now_ms)
    while at_ms is not None and at_ms > known and not _is_due(standing, at_ms, now_ms):
        at_ms = standing.timing.latest_until(at_ms - 1)
    return known if at_ms is None else max(known, at_ms)


def _is_due(standing: Standing, at_ms: int, now_ms: int) -> bool:
    return standing.timing.due_at(standing.schedule_id, at_ms) <= now_ms


def _one(at_ms: int, fate: Fate, reason: str = "") -> Verdict:
    return Verdict(at_ms, at_ms, 1, fate, reason)
