"""Rule 9.3: a run that no worker has begun until its start deadline ends `failed` with `StartDeadlineError`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outlast.core.commands import Command
from outlast.core.events import CancelRequested, RunStarted, StartTimedOut
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.standing import Standing
from outlast.core.status import RunStatus
from outlast.core.why import explain
from outlast.graph.nodes import Node
from simulated import (
    T0,
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_map,
    a_sleep,
    a_step,
    a_wait,
    a_workflow,
)


def to_begin(*nodes: Node, deadline_ms: int | None = None) -> tuple[SimulatedRun, list[Command]]:
    run = SimulatedRun(a_graph(*nodes), [1])
    event = RunStarted(T0, deadline_ms=deadline_ms, start_deadline_ms=T0 + 60_000)
    return run, run.record(event, [1], has_payload=True)


def test_run_that_nobody_began_in_time_fails():
    run, _ = to_begin(a_step("a"), deadline_ms=T0 + 90_000)

    run.record(StartTimedOut(T0 + 60_001, START_PATH))

    assert (run.state.finished, run.state.open) == (RunStatus.FAILED, {})
    assert run.view.failure is not None
    assert run.view.failure.failure.type == "StartDeadlineError"
    assert run.view.failure.failure.message == "no worker began the run until 2026-01-01T00:01:00.000+00:00"
    assert run.view.steps == {}


BEGINNINGS: dict[str, tuple[Node, Callable[[SimulatedRun], object]]] = {
    "step": (a_step("a"), lambda run: run.begin("a")),
    "map": (a_map("m"), lambda run: run.begin("m")),
    "foreach": (a_foreach(a_step("each")), lambda run: None),
    "workflow": (a_workflow("child", a_step("a")), lambda run: None),
    "branch": (a_branch(a_step("a")), lambda run: run.evaluate("route?a", 1)),
    "sleep": (a_sleep(duration_ms=5), lambda run: None),
    "wait": (a_wait(), lambda run: None),
}


@pytest.mark.parametrize(("node", "begin"), BEGINNINGS.values(), ids=BEGINNINGS.keys())
def test_first_event_of_any_node_is_a_beginning(node: Node, begin: Callable[[SimulatedRun], object]):
    run, _ = to_begin(node, deadline_ms=T0 + 90_000)

    begin(run)

    assert START_PATH not in run.state.open
    assert DEADLINE_PATH in run.state.open


def test_run_that_was_canceled_before_it_began_is_canceled():
    run, _ = to_begin(a_step("a"))

    run.record(CancelRequested(T0 + 1))

    assert (run.state.finished, run.state.open) == (RunStatus.CANCELED, {})


def test_deadline_does_not_make_a_pending_run_wait():
    """4: something may start at once, so it is not `waiting`."""
    run, _ = to_begin(a_step("a"))

    assert run.state.status() is RunStatus.RUNNING


@pytest.mark.parametrize("owner", [None, "worker 1"])
def test_why_tells_the_deadline(owner: str | None):
    """4: `why` names the time."""
    run, _ = to_begin(a_step("a"))

    why = explain(run.view, status=RunStatus.PENDING, workflow_id="w", standing=Standing(owner=owner, candidates=0))

    assert "it fails unless a worker begins it until 2026-01-01T00:01:00.000+00:00" in why
