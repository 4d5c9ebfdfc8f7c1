"""Rule 5.3: conditions see the same input; every child whose condition is true runs."""

from __future__ import annotations

import itertools

import pytest

from outlast.core.advance import reissue
from outlast.core.commands import Cause, Evaluate, RunStep
from outlast.core.events import Evaluated, RunStarted
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus
from outlast.core.view import fold_state
from outlast.failures import FailureInfo
from simulated import BOOM, T0, SimulatedRun, a_branch, a_graph, a_map, a_step, a_workflow, paths


def route(*, is_first_only: bool = False) -> SimulatedRun:
    children = (a_step("small"), a_step("big"), a_step("huge"))
    run = SimulatedRun(a_graph(a_branch(*children, is_first_only=is_first_only), a_map("after")), 7)
    run.start()
    return run


def answer(run: SimulatedRun, **verdicts: bool) -> None:
    for name, verdict in verdicts.items():
        run.evaluate(f"route?{name}", verdict)


def test_conditions_are_asked_all_at_once_with_the_same_input():
    run = SimulatedRun(a_graph(a_branch(a_step("small"), a_step("big"))))

    commands = run.record_one(RunStarted(T0), b"7")

    assert commands == [
        Evaluate("route?small", "route", "w/route?small", Recorded(1), "condition"),
        Evaluate("route?big", "route", "w/route?big", Recorded(1), "condition"),
    ]


def test_nothing_runs_before_every_condition_has_answered():
    run = route()

    answer(run, small=True, huge=True)

    assert run.open_paths == ["route?big"]


@pytest.mark.parametrize("order", list(itertools.permutations(["small", "big", "huge"])))
def test_every_child_whose_condition_is_true_runs_with_the_input(order):
    run = route()
    for name in order[:-1]:
        run.evaluate(f"route?{name}", name != "big")

    commands = run.evaluate(f"route?{order[-1]}", order[-1] != "big")

    assert commands == [RunStep("small", "w/small", 0, Recorded(1)), RunStep("huge", "w/huge", 0, Recorded(1))]


def test_output_is_keyed_by_the_children_that_ran_in_declaration_order():
    run = route()
    answer(run, small=True, big=False, huge=True)
    run.succeed("huge", 3)
    run.succeed("small", 1)

    value = run.value(run.state.frame("after").input)

    assert list(value.items()) == [("small", 1), ("huge", 3)]


def test_none_true_gives_an_empty_object():
    run = route()

    answer(run, small=False, big=False, huge=False)

    assert run.value(run.state.frame("after").input) == {}


def test_mode_first_asks_one_condition_after_the_other():
    run = route(is_first_only=True)

    assert run.open_paths == ["route?small"]
    assert paths(run.evaluate("route?small", 0)) == ["route?big"]


def test_mode_first_stops_at_the_first_true_one():
    run = route(is_first_only=True)
    answer(run, small=False)

    commands = run.evaluate("route?big", 1)

    assert commands == [RunStep("big", "w/big", 0, Recorded(1))]
    assert run.open_paths == ["big"]


def test_mode_first_with_none_true_gives_an_empty_object():
    run = route(is_first_only=True)

    answer(run, small=False, big=False, huge=False)

    assert run.value(run.state.frame("after").input) == {}


def test_failing_condition_fails_the_run_and_names_itself():
    run = route(is_first_only=True)

    run.fail_evaluation("route?small")

    assert run.state.status() is RunStatus.FAILED
    assert run.view.failure == Cause("route?small", BOOM)


def test_failing_condition_waits_for_the_others():
    run = route()

    assert run.fail_evaluation("route?big") == []
    assert run.open_paths == ["route?small", "route?huge"]


def test_no_child_runs_after_a_condition_failed():
    run = route()
    answer(run, small=True)
    run.fail_evaluation("route?big")

    answer(run, huge=True)

    assert run.state.status() is RunStatus.FAILED
    assert run.view.steps == {}


@pytest.mark.parametrize("order", [("small", "huge"), ("huge", "small")])
def test_first_failing_condition_in_declaration_order_is_named(order):
    run = route()
    for name in order:
        run.fail_evaluation(f"route?{name}", FailureInfo(type="ValueError", message=name))

    answer(run, big=True)

    assert run.view.failure == Cause("route?small", FailureInfo(type="ValueError", message="small"))


def test_conditions_are_not_evaluated_again_after_a_recovery():
    run = route()
    answer(run, small=True, big=False)

    commands = reissue(fold_state(run.state.graph, run.records))

    assert paths(commands) == ["route?huge"]


def test_conditions_are_not_evaluated_again_after_a_suspension():
    run = route()
    answer(run, small=True, big=False, huge=False)
    run.suspend("small")

    commands = run.resume("small")

    assert paths(commands) == ["small"]


def test_failure_of_a_child_is_that_of_the_branch_when_all_have_ended():
    run = route()
    answer(run, small=True, big=True, huge=False)
    run.fail("big")

    assert run.state.status() is RunStatus.RUNNING
    run.succeed("small")

    assert run.view.failure == Cause("big", BOOM)


def test_children_not_taken_are_absent_from_the_records():
    """21."""
    run = route()
    answer(run, small=False, big=True, huge=False)
    run.succeed("big", 2)

    assert list(run.view.steps) == ["big"]


def test_branch_in_a_nested_workflow_has_the_paths_of_that_workflow():
    run = SimulatedRun(a_graph(a_workflow("child", a_branch(a_step("big")))))

    assert paths(run.start()) == ["child.route?big"]
    assert paths(run.evaluate("child.route?big", 1)) == ["child.big"]


def test_output_of_a_taken_child_is_known_to_those_after_the_branch():
    run = route()
    answer(run, small=False, big=True, huge=False)
    run.succeed("big", 2)

    outputs = run.state.scope_of("after").outputs

    assert {name: run.value(ref) for name, ref in outputs.items()} == {"big": 2, "route": {"big": 2}}


def test_answer_of_a_condition_carries_no_time_of_its_own():
    run = route(is_first_only=True)

    commands = run.record_one(Evaluated(T0 + 5, "route?small", 1))

    assert commands == [RunStep("small", "w/small", 0, Recorded(1))]
