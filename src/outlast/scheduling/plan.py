"""A schedule as it is kept: what was said of it, and where it stands. Plain JSON, read and written here only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

from outlast.immutable import immutable, new_dict
from outlast.instant import from_ms
from outlast.scheduling.deciding import Queued
from outlast.scheduling.schedule import CatchUp, Overlap, Schedule, recorded_schedule
from outlast.scheduling.timing import Timing
from outlast.values import JsonValue, decode, encode

__all__ = ["Memory", "Plan", "ScheduleStatus", "plan_of"]

ScheduleStatus: TypeAlias = Literal["active", "paused", "ended", "retired"]
"""Fires; was paused; has no time left; or is not in the code any more."""


@immutable(kw_only=True)
class Plan:
    """What was said of a schedule, its values as JSON."""

    timing: Timing
    """When it fires."""
    input: JsonValue = None
    """The input of its runs."""
    state: JsonValue = None
    """Their initial state; None for the default of its type."""
    request_context: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """Their request context."""
    resource_id: str | None = None
    """Whose runs they are."""
    tags: tuple[str, ...] = ()
    """Words to find them by."""
    overlap: Overlap = "skip"
    """What a firing does while the run before it has not ended."""
    catch_up: CatchUp = "one"
    """What becomes of missed times."""
    metadata: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """The author's data."""

    def to_bytes(self) -> bytes:
        """Return it as it is stored. Equal plans give equal bytes."""
        timing = self.timing
        return encode(
            {
                "cron": timing.cron,
                "every_ms": timing.every_ms,
                "at_ms": timing.at_ms,
                "timezone": timing.timezone,
                "start_ms": timing.start_ms,
                "end_ms": timing.end_ms,
                "jitter_ms": timing.jitter_ms,
                "input": self.input,
                "state": self.state,
                "request_context": dict(self.request_context),
                "resource_id": self.resource_id,
                "tags": list(self.tags),
                "overlap": self.overlap,
                "catch_up": self.catch_up,
                "metadata": dict(self.metadata),
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Plan:
        """Read what `to_bytes` wrote."""
        known = cast("dict[str, Any]", decode(raw))
        timing = Timing(
            cron=known["cron"],
            every_ms=known["every_ms"],
            at_ms=known["at_ms"],
            timezone=known["timezone"],
            start_ms=known["start_ms"],
            end_ms=known["end_ms"],
            jitter_ms=known["jitter_ms"],
        )
        return cls(
            timing=timing,
            input=known["input"],
            state=known["state"],
            request_context=known["request_context"],
            resource_id=known["resource_id"],
            tags=tuple(known["tags"]),
            overlap=known["overlap"],
            catch_up=known["catch_up"],
            metadata=known["metadata"],
        )

    def to_schedule(self) -> Schedule:
        """Return it as an author would say it."""
        timing = self.timing
        return recorded_schedule(
            {
                "cron": timing.cron,
                "every": None if timing.every_ms is None else timedelta(milliseconds=timing.every_ms),
                "at": None if timing.at_ms is None else from_ms(timing.at_ms),
                "timezone": timing.timezone,
                "input_data": self.input,
                "initial_state": self.state,
                "request_context": dict(self.request_context),
                "resource_id": self.resource_id,
                "tags": self.tags,
                "overlap": self.overlap,
                "catch_up": self.catch_up,
                "jitter": timedelta(milliseconds=timing.jitter_ms),
                "start": None if timing.start_ms is None else from_ms(timing.start_ms),
                "end": None if timing.end_ms is None else from_ms(timing.end_ms),
                "metadata": dict(self.metadata),
            }
        )


def plan_of(
    schedule: Schedule, *, input: JsonValue, state: JsonValue, request_context: Mapping[str, JsonValue]
) -> Plan:
    """Return what was said of a schedule, given its values as JSON."""
    return Plan(
        timing=schedule.to_timing(),
        input=input,
        state=state,
        request_context=request_context,
        resource_id=schedule.resource_id,
        tags=tuple(schedule.tags),
        overlap=schedule.overlap,
        catch_up=schedule.catch_up,
        metadata=schedule.metadata,
    )


@immutable(kw_only=True)
class Memory:
    """Where a schedule stands."""

    next_ms: int | None
    """The first time that is not dealt with; None if there is none any more."""
    last_ms: int | None = None
    """The time of its latest firing by itself."""
    last_run_id: str | None = None
    """The run of that firing."""
    active: tuple[str, ...] = ()
    """Ids of its runs that had not ended when somebody last looked."""
    queued: tuple[Queued, ...] = ()
    """The firings that wait, oldest first."""
    is_paused: bool = False
    """Whether somebody paused it; also kept while it is retired."""

    def to_bytes(self) -> bytes:
        """Return it as it is stored."""
        return encode(
            {
                "next_ms": self.next_ms,
                "last_ms": self.last_ms,
                "last_run_id": self.last_run_id,
                "active": list(self.active),
                "queued": [list(each) for each in self.queued],
                "is_paused": self.is_paused,
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Memory:
        """Read what `to_bytes` wrote."""
        known = cast("dict[str, Any]", decode(raw))
        return cls(
            next_ms=known["next_ms"],
            last_ms=known["last_ms"],
            last_run_id=known["last_run_id"],
            active=tuple(known["active"]),
            queued=tuple(Queued(*each) for each in known["queued"]),
            is_paused=known["is_paused"],
        )
