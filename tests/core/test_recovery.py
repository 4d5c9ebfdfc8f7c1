"""Rule 12.1: a recovery folds the journal, throws the commands away, and issues what is still open once more."""

from __future__ import annotations

import pytest

from outlast.core.advance import reissue
from outlast.core.codec import UnknownEventError
from outlast.core.commands import OpenBlock, RunStep, StartTimer
from outlast.core.events import RunStarted
from outlast.core.ref import Item, Recorded
from outlast.core.state import RunState
from outlast.core.view import fold_state
from simulated import T0, SimulatedRun, a_foreach, a_graph, a_parallel, a_step

TWO = a_graph(a_parallel(a_step("a", limit=1, delay_ms=100), a_step("b")))


def recovered(run: SimulatedRun) -> RunState:
    return fold_state(run.state.graph, run.records)


def test_step_in_flight_is_reissued_as_started():
    run = SimulatedRun(TWO)
    run.start()
    run.begin("b")

    commands = reissue(recovered(run))

    assert commands == [RunStep("a", "w/a", 0, Recorded(1)), RunStep("b", "w/b", 0, Recorded(1), was_started=True)]


def test_ended_step_is_not_reissued():
    run = SimulatedRun(TWO)
    run.start()
    run.succeed("a")

    commands = reissue(recovered(run))

    assert commands == [RunStep("b", "w/b", 0, Recorded(1))]


def test_timer_is_reissued_with_its_recorded_due_time():
    """9.1: a crash does not reset due times."""
    run = SimulatedRun(TWO)
    run.start()
    run.fail("a")

    commands = reissue(recovered(run))

    assert StartTimer("a", T0 + 100) in commands


def test_attempt_is_reissued_with_its_number():
    """9.1: a crash does not reset attempts."""
    run = SimulatedRun(TWO)
    run.start()
    run.fail("a")
    run.fire("a")
    run.begin("a")

    commands = reissue(recovered(run))

    assert RunStep("a", "w/a", 1, Recorded(1), was_started=True) in commands


def test_block_that_is_not_opened_yet_is_reissued():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=2)))
    run.record_one(RunStarted(T0), b"[1]")

    assert reissue(recovered(run)) == [OpenBlock("each", Recorded(1), None, 2)]


def test_only_items_in_flight_are_reissued():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=2)), [1, 2, 3, 4])
    run.start()
    run.succeed("each[0]")
    run.begin("each[1]")

    assert reissue(recovered(run)) == [
        RunStep("each[1]", "w/each", 0, Item(Recorded(1), 1), was_started=True),
        RunStep("each[2]", "w/each", 0, Item(Recorded(1), 2)),
    ]


def test_finished_run_reissues_nothing():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.succeed("a")

    assert reissue(recovered(run)) == []


def test_reissue_does_not_take_commands_away():
    run = SimulatedRun(TWO)
    run.start()

    assert reissue(run.state) == reissue(run.state)


def test_records_that_are_no_facts_are_not_folded():
    """14.1: chunks and progress share the journal and are not read in recovery."""
    run = SimulatedRun(TWO)
    run.start()
    chunk = run.records[0]._replace(seq=2, is_fact=False, type="step-output", version=99)

    state = fold_state(run.state.graph, [*run.records, chunk])

    assert reissue(state) == reissue(run.state)


def test_event_of_a_newer_version_stops_the_fold():
    """9.8: it parks the run; it never fails it."""
    run = SimulatedRun(TWO)
    run.start()
    newer = run.records[0]._replace(seq=2, version=2)

    with pytest.raises(UnknownEventError):
        fold_state(run.state.graph, [*run.records, newer])
