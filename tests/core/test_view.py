"""The journal as readers see it: one record per step (rule 21)."""

from __future__ import annotations

from typing import NamedTuple

from outlast.core.commands import Cause
from outlast.core.events import RunStarted, StepStarted, StepSucceeded
from outlast.core.status import StepStatus
from outlast.core.view import StepView
from outlast.failures import FailureInfo
from outlast.values import JsonValue
from simulated import BOOM, T0, SimulatedRun, a_foreach, a_graph, a_map, a_parallel, a_step, a_workflow


class Row(NamedTuple):
    status: str
    input: JsonValue
    output: JsonValue = None
    attempts: int = 1
    failure: str | None = None


def table(run: SimulatedRun) -> dict[str, Row]:
    return {path: _row(run, step) for path, step in run.view.steps.items()}


def _row(run: SimulatedRun, step: StepView) -> Row:
    return Row(
        status=step.status.value,
        input=run.value(step.input),
        output=run.value(step.output) if step.output is not None else None,
        attempts=step.attempts,
        failure=step.failure.message if step.failure is not None else None,
    )


def test_chain_has_a_record_per_node_in_the_order_of_their_begin():
    run = SimulatedRun(a_graph(a_step("a"), a_map("m"), a_step("b"), a_step("c")), 1)
    run.start()
    run.succeed("a", 2)
    run.succeed("m", 3)
    run.begin("b")

    assert list(table(run).items()) == [
        ("a", Row("success", 1, 2)),
        ("m", Row("success", 2, 3)),
        ("b", Row("running", 3)),
    ]


def test_step_that_has_not_begun_has_no_record():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()

    assert table(run) == {}


def test_foreach_has_one_record_for_itself_and_one_per_item():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=2)), [1, 2, 3])
    run.start()
    run.succeed("each[1]", 20)
    run.succeed("each[0]", 10)
    run.succeed("each[2]", 30)

    assert table(run) == {
        "each": Row("success", [1, 2, 3], [10, 20, 30]),
        "each[1]": Row("success", 2, 20),
        "each[0]": Row("success", 1, 10),
        "each[2]": Row("success", 3, 30),
    }


def test_foreach_of_workflows_has_records_at_each_level():
    run = SimulatedRun(a_graph(a_foreach(a_workflow("each", a_step("resize")))), [7])
    run.start()
    run.succeed("each[0].resize", 8)

    assert table(run) == {
        "each": Row("success", [7], [8]),
        "each[0]": Row("success", 7, 8),
        "each[0].resize": Row("success", 7, 8),
    }


def test_empty_foreach_has_its_own_record_only():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))), [])
    run.start()

    assert table(run) == {"each": Row("success", [], [])}


def test_parallel_has_a_record_per_child():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"))), 1)
    run.start()
    run.begin("b")
    run.succeed("a", 2)

    assert table(run) == {"b": Row("running", 1), "a": Row("success", 1, 2)}


def test_step_between_two_attempts_is_waiting_with_its_failure():
    run = SimulatedRun(a_graph(a_step("a", limit=1, delay_ms=9)), 1)
    run.start()
    run.fail("a")

    assert table(run) == {"a": Row("waiting", 1, failure="boom")}


def test_second_attempt_is_counted_and_keeps_the_failure_of_the_first():
    run = SimulatedRun(a_graph(a_step("a", limit=1)), 1)
    run.start()
    run.fail("a")
    run.begin("a")

    assert table(run) == {"a": Row("running", 1, attempts=2, failure="boom")}


def test_success_after_a_failure_forgets_the_failure():
    run = SimulatedRun(a_graph(a_step("a", limit=1)), 1)
    run.start()
    run.fail("a")
    run.succeed("a", 2)

    assert table(run) == {"a": Row("success", 1, 2, attempts=2)}


def test_attempt_that_a_crash_repeats_is_counted_once():
    run = SimulatedRun(a_graph(a_step("a")), 1)
    run.start()
    run.begin("a")
    run.begin("a", is_recovered=True)

    assert table(run)["a"].attempts == 1


def test_failed_step_has_its_failure_and_so_have_the_blocks_around_it():
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))), 1)
    run.start()
    run.fail("child.x")

    assert table(run) == {
        "child": Row("failed", 1, failure="boom"),
        "child.x": Row("failed", 1, failure="boom"),
    }
    assert run.view.failure == Cause("child.x", BOOM)


def test_block_whose_input_does_not_fit_has_a_record_too():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))), "text")
    run.start()

    assert table(run) == {"each": Row("failed", "text", failure="a list is needed, this is a string")}


def test_step_whose_start_is_not_recorded_has_a_record():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")), 1)
    run.start()

    run.record_one(StepSucceeded(T0, "a", 0), b"2")

    assert table(run) == {"a": Row("success", 1, 2)}


def test_times_are_those_of_the_first_start_and_of_the_end():
    run = SimulatedRun(a_graph(a_step("a", limit=1, delay_ms=10)))
    run.start()
    run.begin("a")
    run.now_ms += 5
    run.fail("a")
    run.fire("a")
    run.begin("a")
    run.now_ms += 1
    run.succeed("a")

    step = run.view.steps["a"]

    assert (step.started_at_ms - T0, step.ended_at_ms) == (0, T0 + 16)


def test_running_and_waiting_steps_have_no_end():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b", limit=1, delay_ms=9))))
    run.start()
    run.begin("a")
    run.fail("b")

    assert [step.ended_at_ms for step in run.view.steps.values()] == [None, None]


def test_failed_step_has_an_end():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.fail("a")

    assert run.view.steps["a"].ended_at_ms == T0


def test_request_context_is_what_the_run_was_started_with():
    run = SimulatedRun(a_graph(a_step("a")))
    run.record_one(RunStarted(T0, {"tenant": "t"}), b"1")

    assert run.view.request_context == {"tenant": "t"}


def test_records_that_are_no_facts_are_not_read():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.records.append(run.records[0]._replace(seq=2, is_fact=False, type="step-output"))

    assert table(run) == {}


def test_status_of_a_retry_that_failed_for_good_is_failed():
    run = SimulatedRun(a_graph(a_step("a", limit=1)))
    run.start()
    run.fail("a")
    run.fail("a", FailureInfo(type="ValueError", message="again"))

    step = run.view.steps["a"]

    assert (step.status, step.attempts) == (StepStatus.FAILED, 2)
    assert step.failure == FailureInfo(type="ValueError", message="again")


def test_view_ends_in_the_state_of_the_journal():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.record_one(StepStarted(T0, "a", 0))

    assert run.view.state.open == run.state.open
    assert run.view.state.last_seq == 2
