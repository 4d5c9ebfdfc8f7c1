"""Rule 4: `why` puts into words what a run waits for; no run waits without a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.core.events import BlockOpened, RunFinished, RunStarted, RunTimedOut, StepSucceeded
from outlast.core.standing import Slots, Standing
from outlast.core.status import RunStatus
from outlast.core.why import explain
from outlast.failures import FailureInfo
from simulated import (
    T0,
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_map,
    a_parallel,
    a_sleep,
    a_step,
    a_wait,
    a_workflow,
)

MISFIT = FailureInfo(type="InputError", message="result of the workflow is not valid: an integer is needed")


def why(run: SimulatedRun, *, owner: str | None = "worker 1", candidates: int = 1) -> str:
    return explained(run, run.state.status(), owner=owner, candidates=candidates)


def explained(run: SimulatedRun, status: RunStatus, **standing: Any) -> str:
    standing = {"owner": None, "candidates": 0} | standing
    return explain(run.view, status=status, workflow_id="w", standing=Standing(**standing))


def started(*, limit: int = 0, delay_ms: int = 0) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_step("a", limit=limit, delay_ms=delay_ms)))
    run.start()
    return run


def test_recorded_run_without_a_worker_says_how_to_start_one():
    assert why(started(), owner=None, candidates=0) == (
        "the run is recorded and waits for a worker; "
        "no live worker takes runs of workflow 'w': start one with `async with Outlast([...])`"
    )


def test_recorded_run_says_that_a_worker_will_take_it():
    assert why(started(), owner=None, candidates=1) == (
        "the run is recorded and waits for a worker; "
        "1 live worker takes runs of workflow 'w' and will claim it when a slot is free"
    )


def test_recorded_run_says_how_many_workers_there_are():
    assert why(started(), owner=None, candidates=3) == (
        "the run is recorded and waits for a worker; "
        "3 live workers take runs of workflow 'w' and will claim it when a slot is free"
    )


def test_run_that_no_worker_has_all_functions_for_says_what_is_missing():
    """4: counted are those that have all that the graph of the run names."""
    run = started()

    assert explained(run, RunStatus.PENDING, missing=("w/a", "w/b")) == (
        "the run is recorded and waits for a worker; live workers take runs of workflow 'w', but none has all that "
        "this run's graph names: 'w/a', 'w/b' is missing; start a worker with code that has it"
    )


@pytest.mark.parametrize("kind", ["cancel", "resume"])
def test_request_that_nobody_has_taken_up_is_told(kind: str):
    """4: what is recorded and has not happened yet."""
    run = SimulatedRun(a_graph(a_wait("w")))
    run.start()

    assert explained(run, RunStatus.SUSPENDED, requests=(kind, kind)) == (
        f"'w' waits for somebody to resume it; somebody asked to {kind} it, which no worker has taken up yet; "
        "no live worker takes runs of workflow 'w': start one with `async with Outlast([...])`"
    )
    assert explained(run, RunStatus.SUSPENDED, requests=(kind,), candidates=1).endswith("no worker has taken up yet")


@pytest.mark.parametrize("requests", [(), ("cancel",)])
@pytest.mark.parametrize(
    ("candidates", "who"),
    [(0, "no live worker takes runs of workflow 'w': start one"), (1, "1 live worker takes runs")],
)
def test_run_of_a_dead_worker_says_who_goes_on_with_it(candidates: int, who: str, requests: tuple[str, ...]):
    """4, 12.1: once, also if something is asked of it."""
    run = started()
    run.begin("a")

    text = explained(
        run, RunStatus.RUNNING, owner="worker 1", is_owner_dead=True, candidates=candidates, requests=requests
    )

    assert f"driven by worker 1, which is dead; {who}" in text
    assert text.count(who) == 1


def test_cancel_in_progress_says_what_it_waits_for():
    """4, 10: what has begun ends first."""
    run = started()
    run.begin("a")
    run.cancel("enough")

    assert why(run) == (
        "the run is being canceled ('enough') and ends when what it has begun has ended; "
        "'a' (attempt 0) runs since 2026-01-01T00:00:00.000+00:00; driven by worker 1"
    )


def test_run_out_of_time_says_what_it_waits_for():
    """4, 9.3: what has begun ends first."""
    run = SimulatedRun(a_graph(a_step("a")))
    run.record(RunStarted(T0, deadline_ms=T0 + 5), None, has_payload=True)
    run.begin("a")
    run.record(RunTimedOut(T0 + 5, "?deadline"))

    assert why(run).startswith(
        "the run is about to fail with RunTimedOutError when what it has begun has ended; 'a' (attempt 0) runs since"
    )


def test_run_that_its_worker_left_says_so():
    run = started()
    run.begin("a")

    assert why(run, owner=None, candidates=0) == (
        "'a' (attempt 0) runs since 2026-01-01T00:00:00.000+00:00; nobody drives it now; "
        "no live worker takes runs of workflow 'w': start one with `async with Outlast([...])`"
    )


def test_step_that_may_start_waits_for_a_slot():
    assert why(started()) == "'a' may start and waits for a free slot of its worker; driven by worker 1"


def test_step_that_waits_for_a_slot_says_how_many_there_are_and_how_many_wait():
    """4, 19: where the numbers are known, which is in the process of the worker."""
    text = explained(started(), RunStatus.RUNNING, owner="worker 1", slots=Slots(20, 7))

    assert text == (
        "'a' may start and waits for a free slot of its worker, which runs 20 steps at a time (`max_steps`) "
        "and has 7 more waiting; driven by worker 1"
    )


def test_run_that_was_left_to_others_says_why_and_until_when():
    """4, 9.8: parked code and suspects; what they would do is not said, because nobody does it."""
    run = started()
    run.begin("a")

    text = explained(run, RunStatus.WAITING, hold="worker 3 cannot drive it", ready_at_ms=T0 + 61_500, candidates=2)

    assert text == (
        "worker 3 cannot drive it; "
        "nobody drives it now, and it may be taken from 2026-01-01T00:01:01.500+00:00 on; "
        "2 live workers take runs of workflow 'w' and will claim it when a slot is free"
    )


def test_run_that_its_worker_holds_back_says_why():
    """4, 9.6: a suspect whose worker lets another one go first."""
    text = explained(started(), RunStatus.WAITING, hold="it waits for its turn", owner="worker 1")

    assert text == "it waits for its turn; driven by worker 1"


def test_run_that_was_left_and_then_canceled_says_both():
    """4, 10: in the order in which they matter."""
    run = started()
    run.begin("a")
    run.cancel("enough")

    text = explained(run, RunStatus.WAITING, hold="worker 3 cannot drive it", requests=("resume",))

    assert text.startswith("the run is being canceled ('enough') and ends when what it has begun has ended; worker 3")
    assert text.endswith("; somebody asked to resume it, which no worker has taken up yet")


def test_running_step_says_since_when():
    run = started(limit=1)
    run.fail("a")
    run.now_ms += 1234
    run.begin("a")

    assert why(run) == "'a' (attempt 1) runs since 2026-01-01T00:00:00.000+00:00; driven by worker 1"


def test_running_map_says_since_when():
    run = SimulatedRun(a_graph(a_map("m")))
    run.start()
    run.begin("m")

    assert why(run) == "'m' (attempt 0) runs since 2026-01-01T00:00:00.000+00:00; driven by worker 1"


def test_retry_says_when_it_is_due_and_why():
    run = started(limit=1, delay_ms=61_500)
    run.fail("a")

    assert why(run) == (
        "'a' waits until 2026-01-01T00:01:01.500+00:00 for its next attempt after ValueError: boom; driven by worker 1"
    )


def test_block_that_is_not_opened_is_about_to_begin():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))
    run.record_one(RunStarted(T0), b"[]")

    assert why(run) == "'each' is about to begin; driven by worker 1"


def test_block_that_is_not_closed_is_about_to_end():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))
    run.record_one(RunStarted(T0), b"[]")
    run.record_one(BlockOpened(T0, "each", 0, 1))

    assert why(run) == "'each' is about to end; driven by worker 1"


def test_run_whose_end_is_not_recorded_is_about_to_end():
    run = started()
    run.begin("a")
    run.record_one(StepSucceeded(T0, "a", 0), b"1")

    assert why(run) == "the run is about to end; driven by worker 1"


def test_each_thing_in_flight_has_its_sentence():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_workflow("child", a_step("x")))))
    run.start()
    run.begin("child.x")

    assert why(run) == (
        "'a' may start and waits for a free slot of its worker; "
        "'child.x' (attempt 0) runs since 2026-01-01T00:00:00.000+00:00; driven by worker 1"
    )


def test_more_than_five_things_are_counted():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=9)), list(range(9)))
    run.start()

    waiting = [f"'each[{index}]' may start and waits for a free slot of its worker" for index in range(5)]
    assert why(run) == "; ".join([*waiting, "and 4 more", "driven by worker 1"])


def test_success_has_ended():
    run = started()
    run.succeed("a")

    assert why(run, owner=None) == "the run has ended: success"


def test_failure_of_a_node_names_it():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))), [1])
    run.start()
    run.fail("each[0]")

    assert why(run, owner=None) == "the run has failed at 'each[0]' with ValueError: boom"


def test_failure_of_the_run_itself_names_no_node():
    run = started()
    run.begin("a")
    run.record_one(StepSucceeded(T0, "a", 0), b"1")
    run.record_one(RunFinished(T0, RunStatus.FAILED, None, MISFIT))

    assert why(run, owner=None) == (
        "the run has failed with InputError: result of the workflow is not valid: an integer is needed"
    )


def test_failure_that_says_nothing_is_still_a_sentence():
    run = started()
    run.succeed("a")

    assert explained(run, RunStatus.FAILED) == "the run has failed"


def test_sleep_says_until_when():
    run = SimulatedRun(a_graph(a_sleep(duration_ms=61_500)))
    run.start()

    assert why(run) == "'nap' sleeps until 2026-01-01T00:01:01.500+00:00; driven by worker 1"


def test_condition_is_being_evaluated():
    run = SimulatedRun(a_graph(a_step("a"), a_branch(a_step("big"))))
    run.start()
    run.succeed("a")

    assert why(run) == "'route?big' is being evaluated; driven by worker 1"


def test_suspension_waits_for_somebody():
    run = started()
    run.suspend("a")

    assert why(run) == "'a' waits for somebody to resume it; driven by worker 1"


def test_suspension_says_its_label_and_its_timeout():
    run = started()
    run.suspend("a", label="boss", timeout_ms=61_500)

    assert why(run) == (
        "'a' (label 'boss') waits for somebody to resume it, at the latest until 2026-01-01T00:01:01.500+00:00; "
        "driven by worker 1"
    )


def test_wait_that_is_not_recorded_is_about_to_wait():
    run = SimulatedRun(a_graph(a_wait()))
    run.record_one(RunStarted(T0), b"1")

    assert why(run) == "'approve' is about to wait; driven by worker 1"


def test_deadline_of_the_run_comes_last():
    run = SimulatedRun(a_graph(a_wait()))
    run.record(RunStarted(T0, deadline_ms=T0 + 61_500), 1, has_payload=True)

    assert why(run) == (
        "'approve' waits for somebody to resume it; the run times out at 2026-01-01T00:01:01.500+00:00; "
        "driven by worker 1"
    )


def test_failure_of_a_condition_names_it():
    run = SimulatedRun(a_graph(a_branch(a_step("big"))))
    run.start()
    run.fail_evaluation("route?big")

    assert why(run, owner=None) == "the run has failed at 'route?big' with ValueError: boom"


def test_canceled_run_has_ended():
    run = started()
    run.cancel()

    assert why(run, owner=None) == "the run has ended: canceled"
