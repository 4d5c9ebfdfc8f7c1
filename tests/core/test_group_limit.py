"""Rule 5.2: `limit=` says how many children of a parallel run at a time."""

from __future__ import annotations

import pytest

from outlast.core.commands import Cause
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from simulated import BOOM, SimulatedRun, a_graph, a_parallel, a_step, paths


def limited(limit: int) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_parallel(*(a_step(name) for name in "abcd"), limit=limit)))
    run.start()
    return run


@pytest.mark.parametrize(("limit", "first"), [(1, "a"), (3, "abc"), (4, "abcd"), (9, "abcd")])
def test_children_start_in_order_up_to_the_limit(limit, first):
    assert limited(limit).open_paths == list(first)


def test_ended_child_makes_room_for_the_next_one():
    run = limited(2)

    assert paths(run.succeed("b")) == ["c"]
    assert paths(run.succeed("a")) == ["d"]
    assert run.succeed("c") == []


def test_output_is_in_declaration_order_whatever_the_limit():
    run = limited(2)
    for name in "bacd":
        run.succeed(name, name)

    assert list(run.result.items()) == [(name, name) for name in "abcd"]


def test_children_that_wait_for_room_run_even_if_one_failed():
    run = limited(1)

    assert paths(run.fail("a")) == ["b"]
    for name in "bcd":
        run.succeed(name)
    assert run.view.failure == Cause("a", BOOM)


def test_first_failure_in_declaration_order_is_that_of_the_block():
    run = limited(2)
    for name in "bdac":
        if name in run.open_paths:
            run.fail(name, FailureInfo(type="ValueError", message=name))
    for name in list(run.open_paths):
        run.fail(name, FailureInfo(type="ValueError", message=name))

    assert run.view.failure == Cause("a", FailureInfo(type="ValueError", message="a"))


def test_suspended_child_keeps_its_place():
    run = limited(1)

    run.suspend("a")

    assert run.open_paths == ["a"]
    assert run.state.status() is RunStatus.SUSPENDED


def test_suspended_child_leaves_its_place_when_another_failed():
    """21: a block with a failure does not wait for the suspended, nor do those that wait for their place."""
    run = limited(1)
    run.fail("a")

    commands = run.suspend("b")

    assert paths(commands) == ["c"]
    run.succeed("c")
    run.succeed("d")
    assert run.view.failure == Cause("a", BOOM)
