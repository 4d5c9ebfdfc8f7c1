"""Rule 8: the state of a run as the fold of what its steps recorded."""

from __future__ import annotations

from outlast.core.events import RunStarted
from outlast.core.view import fold_state
from outlast.graph.patch import Operation, PatchVerb
from simulated import BOOM, T0, SimulatedRun, a_graph, a_parallel, a_step, a_workflow

START = {"log": ["started"], "count": 1}


def put(value: object) -> tuple[Operation, ...]:
    return (Operation("last", PatchVerb.REPLACE, value),)


def log(*words: str) -> tuple[Operation, ...]:
    return tuple(Operation("log", PatchVerb.APPEND, word) for word in words)


def stateful() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_parallel(a_step("a", limit=1), a_step("b")), a_workflow("child", a_step("x"))))
    run.record(RunStarted(T0, {}, START), 7, has_payload=True)
    return run


def test_run_begins_with_the_initial_state():
    assert stateful().state.data == START


def test_patches_of_one_call_merge_in_order():
    run = stateful()

    run.succeed("a", patch=log("one", "two"))

    assert run.state.data == {"log": ["started", "one", "two"], "count": 1}


def test_same_key_of_parallel_children_is_that_of_the_last_in_the_journal():
    """8.2."""
    run = stateful()
    run.succeed("b", patch=put("of b"))
    run.succeed("a", patch=put("of a"))

    assert run.state.data["last"] == "of a"


def test_reducer_merges_what_parallel_children_add():
    run = stateful()
    run.succeed("b", patch=log("b"))
    run.succeed("a", patch=log("a"))

    assert run.state.data["log"] == ["started", "b", "a"]


def test_delete_removes_and_none_sets_null():
    run = stateful()

    run.succeed("a", patch=(Operation("log", PatchVerb.DELETE), *put(None)))

    assert run.state.data == {"count": 1, "last": None}


def test_patch_of_a_suspended_step_counts():
    """8.1."""
    run = stateful()

    run.suspend("a", patch=log("asked"))

    assert run.state.data["log"] == ["started", "asked"]


def test_failed_attempt_changes_nothing():
    run = stateful()

    run.fail("a", BOOM)

    assert run.state.data == START


def test_nested_workflow_shares_the_state():
    """5.7."""
    run = stateful()
    run.succeed("a")
    run.succeed("b")
    run.succeed("child.x", patch=put("of x"))

    assert run.state.data["last"] == "of x"


def test_snapshot_that_a_step_holds_does_not_change():
    run = stateful()
    snapshot = run.state.data

    run.succeed("a", patch=log("later"))

    assert snapshot == START


def test_patch_after_a_cancel_is_kept():
    run = stateful()
    run.begin("a")
    run.cancel()

    run.suspend("a", patch=put("late"))

    assert run.state.data["last"] == "late"


def test_state_folded_from_the_journal_is_the_live_one():
    run = stateful()
    run.suspend("a", patch=log("asked"))
    run.resume("a")
    run.succeed("a", patch=log("told"))

    assert fold_state(run.state.graph, run.records).data == run.state.data


def test_view_knows_whether_results_show_the_state():
    """8.3."""
    run = SimulatedRun(a_graph(a_step("a")))
    run.record(RunStarted(T0, {}, START, include_state=True), 7, has_payload=True)

    assert run.view.include_state
    assert not stateful().view.include_state
