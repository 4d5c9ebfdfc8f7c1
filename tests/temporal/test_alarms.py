"""The one timer of a workflow: which of the due times of a run has come, and what is recorded of it (rule 11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.commands import AwaitDeadline, AwaitResume, Command, Pause, RunStep, Sleep, StartTimer
from outlast.core.events import Event, RunTimedOut, StartTimedOut, SuspensionTimedOut, TimerFired
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.ref import Recorded
from outlast.engines.temporal.alarms import earliest_due

WAIT = AwaitResume("ask", 1, 5, None, Recorded(1))


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (StartTimer("try", 5), TimerFired(9, "try")),
        (Sleep("nap", 5, was_started=True), TimerFired(9, "nap")),
        (WAIT, SuspensionTimedOut(9, "ask")),
        (AwaitDeadline(DEADLINE_PATH, 5), RunTimedOut(9, DEADLINE_PATH)),
        (AwaitDeadline(START_PATH, 5), StartTimedOut(9, START_PATH)),
    ],
    ids=["retry", "sleep", "suspension", "timeout of the run", "start deadline"],
)
def test_what_is_recorded_says_whose_time_has_come(command: Command, event: Event) -> None:
    assert earliest_due([command], 4) is None
    assert earliest_due([command], 9) == event


@pytest.mark.parametrize(
    "command",
    [
        Sleep("nap", 5),
        AwaitResume("ask", 1, None, None, Recorded(1)),
        RunStep("step", "w/step", 0, Recorded(1)),
        Pause("?pause", 1, "next"),
    ],
    ids=["sleep that is not recorded yet", "suspension without a timeout", "step", "pause"],
)
def test_what_waits_for_no_time_is_never_due(command: Command) -> None:
    """A sleep counts from when its start is recorded, so that a replay waits for what is left."""
    assert earliest_due([command], 2**53) is None


@given(st.lists(st.integers(0, 10)), st.integers(0, 10))
def test_the_earliest_time_comes_first(times: list[int], now_ms: int) -> None:
    """Of equal ones the command that was given first."""
    commands = [StartTimer(str(number), due_at_ms) for number, due_at_ms in enumerate(times)]
    come = [due_at_ms for due_at_ms in times if due_at_ms <= now_ms]

    expected = TimerFired(now_ms, str(times.index(min(come)))) if come else None

    assert earliest_due([*commands, Pause("?pause", 1, "next")], now_ms) == expected
