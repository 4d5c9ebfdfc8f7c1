"""The workflow that keeps one schedule (rule 16): its history is the schedule, and its timers are the clock.

It decides nothing. When the time has come, or a run that others wait for has ended, it lets an activity look, in a
worker of today: what that decides comes back as a signal, as what users change does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.workflow import ActivityHandle

from outlast.engines.temporal.kept import CHANGE, DONE, Kept, key_of
from outlast.engines.temporal.packing import LARGEST_MESSAGE
from outlast.engines.temporal.payloads import message_of, raw_value
from outlast.instant import to_ms

__all__ = ["AWAIT_ENDS", "KEEP", "LOOK", "LOOK_NOW", "ScheduleKeeper"]

KEEP: Final = "outlast:schedule"
"""Type of the workflow."""
LOOK: Final = "outlast:look"
"""Type of the activity that does what a schedule has to do now."""
AWAIT_ENDS: Final = "outlast:await-ends"
"""Type of the activity that waits until the runs of a schedule have ended."""
LOOK_NOW: Final = "outlast:look-now"
"""Name of the signal that makes it look at once, as when clocks were set."""

_PATIENCE: Final = timedelta(minutes=1)
"""How long one look may take before it is begun again: what it has claimed by then stays claimed."""
_LOOK_BEATS: Final = timedelta(seconds=5)
"""After how long without a sign of life a worker that looks is taken for dead."""
_BEATS: Final = timedelta(seconds=15)
"""After how long without a sign of life a worker that waits for ends is taken for dead."""
_EVER: Final = timedelta(days=3650)
_AGAIN: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
_OTHERS_MS: Final = 5_000
"""How long whoever claims a firing has to start its run before the keeper does."""
_LONGEST_HISTORY: Final = 1_000
"""Events after which it goes on in a new workflow: whoever reads a schedule reads them all."""


@workflow.defn(name=KEEP, sandboxed=False)
class ScheduleKeeper:
    """Keeps one schedule."""

    @workflow.init
    def __init__(self, message: RawValue) -> None:
        self._kept = Kept.from_bytes(message_of(message), key_of("", ""))
        self._is_asked = False
        self._has_news = False
        self._awaiting: ActivityHandle[None] | None = None
        self._told: tuple[int, int | None] = (0, None)

    @workflow.run
    async def run(self, message: RawValue) -> None:
        """Look when there is something to do, for ever."""
        del message  # the schedule was made of it
        while True:
            await self._until_something_is_to_do()
            self._is_asked = False
            version, left_ms = await workflow.execute_activity(
                LOOK,
                result_type=list[Any],
                start_to_close_timeout=_PATIENCE,
                heartbeat_timeout=_LOOK_BEATS,
                retry_policy=_AGAIN,
            )
            at_ms = None if left_ms is None else to_ms(workflow.now()) + max(0, left_ms)
            self._told = (version, at_ms)
            is_long = workflow.info().get_current_history_length() > _LONGEST_HISTORY
            if is_long and self._kept.is_settled and not self._is_asked:
                workflow.continue_as_new(raw_value(self._kept.to_bytes(most=LARGEST_MESSAGE)))

    @workflow.signal(name=CHANGE)
    def change(self, message: RawValue) -> None:
        """Change the schedule, if it is as the sender has read it."""
        self._take(CHANGE, message)

    @workflow.signal(name=DONE)
    def done(self, message: RawValue) -> None:
        """Note what was done outside."""
        self._take(DONE, message)

    @workflow.signal(name=LOOK_NOW)
    def look_now(self) -> None:
        """Look at once."""
        self._is_asked = True

    def _take(self, name: str, message: RawValue) -> None:
        self._kept.take(name, message_of(message))
        self._has_news = True

    async def _until_something_is_to_do(self) -> None:
        while not self._is_asked:
            self._has_news = False
            if self._kept.row.is_waiting and self._awaiting is None:
                self._awaiting = workflow.start_activity(
                    AWAIT_ENDS, start_to_close_timeout=_EVER, heartbeat_timeout=_BEATS, retry_policy=_AGAIN
                )
            at_ms = self._next_look()
            left_ms = None if at_ms is None else at_ms - to_ms(workflow.now())
            if left_ms is not None and left_ms <= 0:
                return
            timeout = None if left_ms is None else timedelta(milliseconds=left_ms)
            try:
                await workflow.wait_condition(self._is_awake, timeout=timeout)
            except TimeoutError:
                return
            if self._awaiting is not None and self._awaiting.done():
                self._awaiting = None
                return

    def _is_awake(self) -> bool:
        return self._is_asked or self._has_news or (self._awaiting is not None and self._awaiting.done())

    def _next_look(self) -> int | None:
        """Return when to look; by the clock of the worker that looked last, if nothing happened since."""
        version, told_ms = self._told
        due_at_ms = told_ms if version == self._kept.row.version else self._kept.row.due_at_ms
        if self._kept.is_settled:
            return due_at_ms
        soon_ms = to_ms(workflow.now()) + _OTHERS_MS
        return soon_ms if due_at_ms is None else min(due_at_ms, soon_ms)
