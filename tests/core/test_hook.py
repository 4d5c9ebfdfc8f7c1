"""The hook `on_start` as the core sees it, and who is told of a rest: rule 13."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outlast.core.advance import reissue
from outlast.core.commands import RunHook, RunStep
from outlast.core.events import CancelRequested, HookEnded, HookStarted, RunCrashed, StepStarted
from outlast.core.flow.hook import told_at
from outlast.core.ref import Recorded
from outlast.core.state import JournalMismatchError
from outlast.core.status import RunStatus
from outlast.graph.nodes import Hooks
from simulated import BOOM, T0, SimulatedRun, a_graph, a_step

HOOKED = replace(a_graph(a_step("a")), hooks=Hooks(on_start="w?on_start"))
CALL = RunHook("?on_start", "w?on_start", Recorded(1))


def called() -> SimulatedRun:
    run = SimulatedRun(HOOKED)
    run.start()
    run.record(HookStarted(T0, "?on_start"))
    return run


def test_run_begins_with_its_hook():
    assert SimulatedRun(HOOKED).start() == [CALL]


def test_run_whose_workflow_has_other_hooks_begins_with_its_first_node():
    run = SimulatedRun(replace(HOOKED, hooks=Hooks(on_finish="w?on_finish")))

    (command,) = run.start()

    assert isinstance(command, RunStep)


def test_hook_that_is_called_stays_open_and_is_called_again_in_recovery():
    run = called()

    assert reissue(run.state) == [replace(CALL, was_started=True)]
    assert run.state.status() is RunStatus.RUNNING


def test_first_node_starts_when_the_hook_has_returned():
    (command,) = called().record(HookEnded(T0, "?on_start", None))

    assert isinstance(command, RunStep)
    assert command.path == "a"


def test_run_fails_if_the_hook_raises():
    run = called()
    run.record(HookEnded(T0, "?on_start", BOOM))

    assert run.state.status() is RunStatus.FAILED
    assert run.view.failure is not None
    assert (run.view.failure.path, run.view.failure.failure) == ("?on_start", BOOM)
    assert run.view.steps == {}


def test_run_that_is_canceled_does_not_wait_for_its_hook():
    run = called()
    run.record(CancelRequested(T0))

    assert run.state.status() is RunStatus.CANCELED


def test_hook_that_kills_processes_ends_the_run():
    run = called()
    run.record(RunCrashed(T0, is_poison=True))

    assert run.view.failure is not None
    assert (run.view.failure.path, run.view.failure.failure.type) == ("?on_start", "PoisonRunError")


@pytest.mark.parametrize("event", [HookStarted(T0, "?on_start"), HookEnded(T0, "?on_start", None)], ids=repr)
def test_hook_of_another_graph_is_refused(event: HookStarted | HookEnded):
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()

    with pytest.raises(JournalMismatchError):
        run.record_one(event)


def test_no_step_starts_before_the_hook_has_returned():
    with pytest.raises(JournalMismatchError):
        called().record_one(StepStarted(T0, "a", 0))


ALL = Hooks(on_start="w?on_start", on_finish="w?on_finish", on_error="w?on_error")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (RunStatus.SUCCESS, ("on_finish",)),
        (RunStatus.CANCELED, ("on_finish",)),
        (RunStatus.SUSPENDED, ("on_finish",)),
        (RunStatus.FAILED, ("on_finish", "on_error")),
        (RunStatus.RUNNING, ()),
        (RunStatus.WAITING, ()),
        (RunStatus.PAUSED, ()),
        (RunStatus.PENDING, ()),
    ],
)
def test_ends_and_suspensions_are_told(status: RunStatus, told: tuple[str, ...]):
    """13: `on_finish` on every end and suspension; `on_error` on failure, after it."""
    assert told_at(ALL, status) == told


def test_only_hooks_that_there_are_are_told():
    assert told_at(Hooks(on_error="w?on_error"), RunStatus.FAILED) == ("on_error",)
    assert told_at(Hooks(on_finish="w?on_finish"), RunStatus.FAILED) == ("on_finish",)
