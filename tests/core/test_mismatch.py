"""Facts that do not fit the graph are refused: the journal and the graph do not belong together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    Evaluated,
    EvaluationFailed,
    Event,
    RunFinished,
    RunStarted,
    SleepStarted,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.state import JournalMismatchError
from outlast.core.status import RunStatus
from outlast.core.view import fold_state, fold_view
from simulated import (
    BOOM,
    T0,
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_loop,
    a_parallel,
    a_sleep,
    a_step,
    a_workflow,
)

FINISHED = RunFinished(T0, RunStatus.SUCCESS)


def at_step() -> SimulatedRun:
    """`a` is in flight."""
    run = SimulatedRun(a_graph(a_step("a", limit=1, delay_ms=5), a_step("b")))
    run.start()
    run.begin("a")
    return run


def at_timer() -> SimulatedRun:
    """`a` waits for its second attempt."""
    run = at_step()
    run.fail("a")
    return run


def at_foreach() -> SimulatedRun:
    """`each` is not opened yet."""
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))
    run.record_one(RunStarted(T0), b"[1]")
    return run


def at_workflow() -> SimulatedRun:
    """`child` is not opened yet."""
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.record_one(RunStarted(T0), b"1")
    return run


def at_close() -> SimulatedRun:
    """`child` has its output and is not closed yet."""
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.start()
    run.begin("child.x")
    run.record_one(StepSucceeded(T0, "child.x", 0), b"1")
    return run


def at_failed_close() -> SimulatedRun:
    """`child` has failed and is not closed yet."""
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.start()
    run.begin("child.x")
    run.record_one(StepFailed(T0, "child.x", 0, BOOM, None))
    return run


def at_end() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.succeed("a")
    return run


def at_block() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"))))
    run.start()
    return run


def at_suspension() -> SimulatedRun:
    """`a` waits to be resumed."""
    run = at_step()
    run.suspend("a")
    return run


def at_sleep() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_sleep(duration_ms=5)))
    run.start()
    return run


def at_branch() -> SimulatedRun:
    """Two conditions are asked."""
    run = SimulatedRun(a_graph(a_branch(a_step("small"), a_step("big"))))
    run.start()
    return run


def at_loop() -> SimulatedRun:
    """`poll` is not opened yet."""
    run = SimulatedRun(a_graph(a_loop(a_step("poll"))))
    run.record_one(RunStarted(T0), b"1")
    return run


def not_started() -> SimulatedRun:
    return SimulatedRun(a_graph(a_step("a")))


NOT_WAITED_FOR = "an outcome of {} is recorded, which this graph does not wait for now"
NOT_RUNNING = "'{}' is recorded as started, which this graph would not be running now"

CASES = {
    "start of an unknown step": (at_step, StepStarted(T0, "x", 0), NOT_RUNNING.format("x")),
    "start of a step that comes later": (at_step, StepStarted(T0, "b", 0), NOT_RUNNING.format("b")),
    "start of a step that waits": (at_timer, StepStarted(T0, "a", 1), NOT_RUNNING.format("a")),
    "start of a foreach as a step": (at_foreach, StepStarted(T0, "each", 0), NOT_RUNNING.format("each")),
    "start before the run": (not_started, StepStarted(T0, "a", 0), NOT_RUNNING.format("a")),
    "success of an unknown step": (at_step, StepSucceeded(T0, "x", 0), NOT_WAITED_FOR.format("'x'")),
    "success of a step that waits": (at_timer, StepSucceeded(T0, "a", 0), NOT_WAITED_FOR.format("'a'")),
    "success of a workflow as a step": (at_workflow, StepSucceeded(T0, "child", 0), NOT_WAITED_FOR.format("'child'")),
    "success of a parallel": (at_block, StepSucceeded(T0, "parallel", 0), NOT_WAITED_FOR.format("'parallel'")),
    "failure of a step that waits": (at_timer, StepFailed(T0, "a", 0, BOOM, None), NOT_WAITED_FOR.format("'a'")),
    "failure of a foreach as a step": (
        at_foreach,
        StepFailed(T0, "each", 0, BOOM, None),
        NOT_WAITED_FOR.format("'each'"),
    ),
    "timer of a running step": (at_step, TimerFired(T0, "a"), NOT_WAITED_FOR.format("'a'")),
    "opening of a step": (at_step, BlockOpened(T0, "a"), NOT_WAITED_FOR.format("'a'")),
    "opening of what is open": (at_close, BlockOpened(T0, "child"), NOT_WAITED_FOR.format("'child'")),
    "opening of a foreach without its length": (
        at_foreach,
        BlockOpened(T0, "each"),
        "'each' is recorded as a workflow, where this graph has a foreach",
    ),
    "opening of a workflow with a length": (
        at_workflow,
        BlockOpened(T0, "child", 1, 1),
        "'child' is recorded as a foreach, where this graph has none",
    ),
    "success of an unopened block": (at_workflow, BlockSucceeded(T0, "child"), NOT_WAITED_FOR.format("'child'")),
    "success of a failed block": (
        at_failed_close,
        BlockSucceeded(T0, "child"),
        "'child' is recorded as ended well, where a node in it has failed",
    ),
    "failure of a block without a cause": (
        at_close,
        BlockFailed(T0, "child", "child.x", None),
        "'child' is recorded as failed because of a node that has not failed",
    ),
    "failure of a step as a block": (at_step, BlockFailed(T0, "a", None, BOOM), NOT_WAITED_FOR.format("'a'")),
    "end of a run that goes on": (at_step, FINISHED, NOT_WAITED_FOR.format("the run")),
    "end of a run that has ended": (at_end, FINISHED, NOT_WAITED_FOR.format("the run")),
    "suspension of what is suspended": (at_suspension, StepSuspended(T0, "a", 0), NOT_WAITED_FOR.format("'a'")),
    "start of what is suspended": (at_suspension, StepStarted(T0, "a", 0), NOT_RUNNING.format("a")),
    "success of what is suspended": (at_suspension, StepSucceeded(T0, "a", 0), NOT_WAITED_FOR.format("'a'")),
    "resumption of what runs": (at_step, StepResumed(T0, "a"), NOT_WAITED_FOR.format("'a'")),
    "resumption of what is asleep": (at_sleep, StepResumed(T0, "nap"), NOT_WAITED_FOR.format("'nap'")),
    "timeout of what runs": (at_step, SuspensionTimedOut(T0, "a"), NOT_WAITED_FOR.format("'a'")),
    "success of a sleep as a step": (at_sleep, StepSucceeded(T0, "nap", 0), NOT_WAITED_FOR.format("'nap'")),
    "sleep of what waits for somebody": (at_suspension, SleepStarted(T0, "a", T0), NOT_RUNNING.format("a")),
    "answer to an unknown condition": (at_branch, Evaluated(T0, "route?x", 1), NOT_WAITED_FOR.format("'route?x'")),
    "answer of a step": (at_step, Evaluated(T0, "a", 1), NOT_WAITED_FOR.format("'a'")),
    "failing condition of a step": (at_step, EvaluationFailed(T0, "a", BOOM), NOT_WAITED_FOR.format("'a'")),
    "opening of a loop with a length": (
        at_loop,
        BlockOpened(T0, "poll", 1, 1),
        "'poll' is recorded as a foreach, where this graph has none",
    ),
    "second start": (at_step, RunStarted(T0), "the start of the run is recorded twice"),
    "second start after the end": (at_end, RunStarted(T0), "the start of the run is recorded twice"),
}


@pytest.mark.parametrize(("make", "event", "message"), CASES.values(), ids=CASES.keys())
def test_fact_that_does_not_fit_is_refused(make: Callable[[], SimulatedRun], event: Event, message: str):
    run = make()

    with pytest.raises(JournalMismatchError) as caught:
        run.record_one(event, b"1")

    assert str(caught.value) == message


@pytest.mark.parametrize(("make", "event"), [case[:2] for case in CASES.values()], ids=CASES.keys())
def test_readers_refuse_what_does_not_fit_with_the_same_error(make: Callable[[], SimulatedRun], event: Event):
    run = make()
    with pytest.raises(JournalMismatchError):
        run.record_one(event, b"1")

    for fold in (fold_state, fold_view):
        with pytest.raises(JournalMismatchError):
            fold(run.state.graph, run.records)


def test_scope_of_the_root_is_refused():
    run = at_step()

    with pytest.raises(JournalMismatchError, match="'' stands in no workflow"):
        run.state.scope_of("")


def test_scope_of_what_has_ended_is_refused():
    run = at_step()

    with pytest.raises(JournalMismatchError, match="an event of 'b' is recorded"):
        run.state.scope_of("b")
