"""The journal as public events: rule 14.1. Their order and payloads, and numbers that neither repeat nor change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.history import FILES, read_history
from outlast.core.chunk import ChunkWritten, DataEmitted, ProgressMade, encode_entry
from outlast.core.codec import UnknownEventError
from outlast.core.projection import Projection
from outlast.core.public import EVENTS_PER_RECORD, PublicEvent, record_seq
from outlast.core.record import Record
from outlast.core.ref import Resolver
from outlast.core.view import fold_state
from outlast.failures import failure_to_json
from outlast.values import MAX_DEPTH, decode, encode
from simulated import (
    BOOM,
    T0,
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_loop,
    a_map,
    a_parallel,
    a_sleep,
    a_step,
    a_wait,
    a_workflow,
)


def events_of(run: SimulatedRun) -> list[PublicEvent]:
    projection = Projection(run.state.graph)
    return [event for record in run.records for event in projection.read(record)]


def told(run: SimulatedRun) -> list[str]:
    """Return what is told in short: type and path, without the prefix `workflow-`."""
    return [short(event) for event in events_of(run)]


def short(event: PublicEvent) -> str:
    name = event.type.removeprefix("workflow-").removeprefix("step-")
    if event.type == "workflow-finish":
        return f"finish {event.fields['workflow_status']}"
    return f"{name} {event.fields['path']}" if "path" in event.fields else name


def payload(run: SimulatedRun, text: str, number: int = 0) -> dict[str, Any]:
    """Return the payload of the event that is told in short as `text`, references resolved."""
    event = [event for event in events_of(run) if short(event) == text][number]
    return {**event.fields, **{name: run.value(ref) for name, ref in event.values.items()}}


def started(*nodes: Any, input: Any = None) -> SimulatedRun:
    run = SimulatedRun(a_graph(*nodes), input)
    run.start()
    return run


def test_chain_is_told_in_the_order_of_the_reference():
    """14.1: start, (step-start, step-result) for each step, finish."""
    run = started(a_step("a"), a_map("b"), input=1)
    run.succeed("a", 2)
    run.succeed("b", 3)

    assert told(run) == ["start", "start a", "result a", "start b", "result b", "finish success"]


def test_start_names_the_workflow():
    """14.1: workflow-start."""
    assert payload(started(a_step("a")), "start") == {"workflow_id": "w"}


def test_step_start_tells_the_input():
    """14.1: workflow-step-start."""
    run = started(a_step("a"), input={"x": 1})
    run.begin("a")

    assert payload(run, "start a") == {
        "id": "a",
        "path": "a",
        "step_call_id": "a@2",
        "attempt": 0,
        "recovered": False,
        "payload": {"x": 1},
        "started_at_ms": T0,
        "status": "running",
    }


def test_result_tells_what_its_start_told_and_the_output():
    """14.1: workflow-step-result."""
    run = started(a_step("a"), input=1)
    run.begin("a")
    run.now_ms += 5
    run.succeed("a", 2)

    assert payload(run, "result a") == {
        "id": "a",
        "path": "a",
        "step_call_id": "a@2",
        "attempt": 0,
        "payload": 1,
        "started_at_ms": T0,
        "ended_at_ms": T0 + 5,
        "status": "success",
        "output": 2,
    }


def test_failure_is_told_by_the_step_and_by_the_end():
    """14.1: workflow-step-result and workflow-finish of a failed run."""
    run = started(a_step("a"))
    run.fail("a")

    assert told(run) == ["start", "start a", "result a", "finish failed"]
    result, finish = payload(run, "result a"), payload(run, "finish failed")
    assert (result["status"], result["error"]) == ("failed", failure_to_json(BOOM))
    assert (finish["error"], finish["error_path"]) == (failure_to_json(BOOM), "a")


def test_finish_tells_the_result():
    """14.1: workflow-finish."""
    run = started(a_parallel(a_step("a"), a_step("b")))
    run.succeed("a", 1)
    run.succeed("b", 2)

    assert payload(run, "finish success") == {"workflow_status": "success", "result": {"a": 1, "b": 2}}


def test_recovered_start_says_so():
    """14.3: `recovered` tells a reader to drop the chunks of the lost one; they have another call id."""
    run = started(a_step("a"))
    run.begin("a")
    run.begin("a", is_recovered=True)

    first, second = payload(run, "start a"), payload(run, "start a", 1)
    assert (first["recovered"], second["recovered"]) == (False, True)
    assert (first["step_call_id"], second["step_call_id"]) == ("a@2", "a@3")
    assert (first["attempt"], second["attempt"]) == (0, 0)


def test_failed_attempt_is_told_as_waiting_for_the_next_one():
    """14.1: one result per step, not per attempt."""
    run = started(a_step("a", limit=1, delay_ms=500))
    run.fail("a")
    run.fire("a")
    run.succeed("a", 1)

    assert told(run) == ["start", "start a", "waiting a", "start a", "result a", "finish success"]
    waiting = payload(run, "waiting a")
    assert (waiting["status"], waiting["error"], waiting["due_at_ms"]) == ("waiting", failure_to_json(BOOM), T0 + 500)
    assert (payload(run, "start a", 1)["attempt"], payload(run, "result a")["attempt"]) == (1, 1)
    assert payload(run, "start a", 1)["started_at_ms"] == T0


def test_parallel_children_start_together():
    """14.1: both starts, then results as they come; the block itself is not told."""
    run = started(a_parallel(a_step("a"), a_step("b")))
    run.begin("a")
    run.begin("b")
    run.succeed("b", 1)
    run.succeed("a", 1)

    assert told(run) == ["start", "start a", "start b", "result b", "result a", "finish success"]


def test_branch_that_is_not_taken_is_not_told():
    """14.1: branch not taken: nothing."""
    run = started(a_branch(a_step("a"), a_step("b")))
    run.evaluate("route?a", 0)
    run.evaluate("route?b", 1)
    run.succeed("b", 1)

    assert told(run) == ["start", "start b", "result b", "finish success"]


def test_each_pass_of_a_loop_is_told_under_the_id_of_the_loop():
    """14.1: start and result per pass, with the number of the pass."""
    run = started(a_loop(a_step("poll")))
    run.succeed("poll#1", 1)
    run.evaluate("poll#1?condition", 0)
    run.succeed("poll#2", 2)
    run.evaluate("poll#2?condition", 1)

    assert told(run) == ["start", "start poll#1", "result poll#1", "start poll#2", "result poll#2", "finish success"]
    second = payload(run, "result poll#2")
    assert (second["id"], second["metadata"]) == ("poll", {"iteration_count": 2})


def test_condition_that_fails_is_the_failure_of_the_loop():
    """5.4: a raising condition fails the run; its passes have ended well."""
    run = started(a_loop(a_step("poll")))
    run.succeed("poll#1", 1)
    run.fail_evaluation("poll#1?condition")

    assert told(run) == ["start", "start poll#1", "result poll#1", "result poll", "finish failed"]


def test_failed_pass_is_told_once():
    """14.1: a failed pass is the failure of its loop."""
    run = started(a_loop(a_step("poll")))
    run.fail("poll#1")

    assert told(run) == ["start", "start poll#1", "result poll#1", "finish failed"]


def test_foreach_tells_its_progress():
    """14.1: start, progress for each item, result; the items are told, too."""
    run = started(a_foreach(a_step("each")), input=["x", "y"])
    run.succeed("each[0]", "X")
    run.succeed("each[1]", "Y")

    assert told(run) == [
        "start",
        "start each",
        "start each[0]",
        "result each[0]",
        "progress each",
        "start each[1]",
        "result each[1]",
        "progress each",
        "result each",
        "finish success",
    ]
    assert "step_call_id" not in payload(run, "start each")
    assert payload(run, "progress each", 1) == {
        "id": "each",
        "path": "each",
        "completed_count": 2,
        "total_count": 2,
        "current_index": 1,
        "iteration_status": "success",
        "iteration_output": "Y",
    }


def test_concurrency_that_fails_is_told_once():
    """5.5: the foreach fails, and nothing of it began."""
    run = started(a_foreach(a_step("each"), concurrency="w/each?concurrency"), input=[1])
    run.fail_evaluation("each?concurrency")

    assert told(run) == ["start", "result each", "finish failed"]


def test_sleep_is_waiting_and_then_a_result():
    """14.1: no step-start for a sleep."""
    run = started(a_sleep(duration_ms=5_000), input=1)
    run.fire("nap")

    assert told(run) == ["start", "waiting nap", "result nap", "finish success"]
    waiting, result = payload(run, "waiting nap"), payload(run, "result nap")
    assert (waiting["payload"], waiting["status"], waiting["due_at_ms"]) == (1, "waiting", T0 + 5_000)
    assert (result["output"], result["started_at_ms"], result["ended_at_ms"]) == (1, T0, T0 + 5_000)


def test_duration_that_fails_is_the_failure_of_the_sleep():
    """5, 11: a sleep without a due time never began to wait."""
    run = started(a_sleep(function="w/nap"))
    run.fail_evaluation("nap?duration")

    assert told(run) == ["start", "result nap", "finish failed"]


def test_suspension_ends_with_a_finish_and_a_resume_begins_with_a_start():
    """14.1: step-suspended, finish(suspended); then start, step-start with the resume data."""
    run = started(a_step("ask"), input=1)
    run.suspend("ask", {"q": "?"}, label="boss")
    run.now_ms += 9
    run.resume("ask", "yes")
    run.succeed("ask", 2)

    assert told(run) == [
        "start",
        "start ask",
        "suspended ask",
        "finish suspended",
        "start",
        "start ask",
        "result ask",
        "finish success",
    ]
    suspended, again = payload(run, "suspended ask"), payload(run, "start ask", 1)
    assert (suspended["suspend_payload"], suspended["suspended_at_ms"]) == ({"q": "?"}, T0)
    assert (suspended["status"], suspended["label"]) == ("suspended", "boss")
    assert (again["resume_payload"], again["resumed_at_ms"], again["started_at_ms"]) == ("yes", T0 + 9, T0)


def test_wait_is_suspended_and_then_a_result():
    """7.5: a node without a body is not started."""
    run = started(a_wait("approve", payload="please"))
    run.resume("approve", True)

    assert told(run) == [
        "start",
        "suspended approve",
        "finish suspended",
        "start",
        "result approve",
        "finish success",
    ]
    assert payload(run, "result approve")["output"] is True


def test_suspension_that_times_out_leaves_the_rest():
    """7.7: what follows from the timeout is told after a start."""
    run = started(a_wait("approve", timeout_ms=10))
    run.time_out("approve")

    assert told(run)[-3:] == ["start", "result approve", "finish failed"]


def test_run_is_at_rest_only_when_nothing_is_in_flight():
    """4: a suspended child beside a running one does not end a stream."""
    run = started(a_parallel(a_step("a"), a_step("b")))
    run.begin("a")
    run.begin("b")
    run.suspend("a")
    assert told(run)[-1] == "suspended a"

    run.succeed("b", 1)
    assert told(run)[-2:] == ["result b", "finish suspended"]


def test_resume_of_one_of_several_is_told_until_the_run_rests_again():
    """14.2: each resume has its own start and its own finish, also if the run only rests on."""
    run = started(a_parallel(a_wait("a"), a_wait("b")))
    run.resume("a", 1)

    assert told(run)[-3:] == ["start", "result a", "finish suspended"]


def test_nested_workflow_is_told_around_its_steps():
    """5.7, 14.1: between the container's own start and result, with paths under it."""
    run = started(a_workflow("inner", a_step("x")), input=1)
    run.succeed("inner.x", 2)

    assert told(run) == [
        "start",
        "start inner",
        "start inner.x",
        "result inner.x",
        "result inner",
        "finish success",
    ]
    assert payload(run, "result inner")["output"] == 2


def test_nested_suspension_is_told_of_both():
    """14.1: both the inner step and the outer one are suspended, the inner one first."""
    run = started(a_workflow("inner", a_step("x")))
    run.suspend("inner.x", "why")

    assert told(run)[-3:] == ["suspended inner.x", "suspended inner", "finish suspended"]
    assert payload(run, "suspended inner")["suspend_payload"] == "why"


def test_container_with_other_work_is_not_suspended():
    """14.1: only nodes that can do nothing any more are."""
    run = started(a_workflow("inner", a_parallel(a_step("x"), a_step("y"))))
    run.begin("inner.x")
    run.begin("inner.y")
    run.suspend("inner.x")

    assert told(run)[-1] == "suspended inner.x"


def test_suspended_items_are_told_with_the_progress():
    """7.6: the foreach is suspended with the last of its window."""
    run = started(a_foreach(a_step("each"), concurrency=2), input=[1, 2])
    run.begin("each[0]")
    run.begin("each[1]")
    run.suspend("each[0]")
    assert told(run)[-2:] == ["suspended each[0]", "progress each"]

    run.suspend("each[1]")
    assert told(run)[-4:] == ["suspended each[1]", "progress each", "suspended each", "finish suspended"]
    assert payload(run, "progress each")["iteration_status"] == "suspended"
    assert payload(run, "progress each")["completed_count"] == 0


def test_cancel_is_told_just_before_the_finish():
    """14.1: workflow-canceled, finish(canceled), with the caller's words."""
    run = started(a_sleep(duration_ms=5_000))
    run.cancel("no more")

    assert told(run) == ["start", "waiting nap", "canceled", "finish canceled"]
    assert payload(run, "canceled") == {"reason": "no more"}


def test_body_that_is_given_up_ends_canceled():
    """10: what was started is told to its end."""
    run = started(a_step("a"))
    run.begin("a")
    run.cancel()
    run.give_up("a")

    assert told(run)[-3:] == ["result a", "canceled", "finish canceled"]
    assert payload(run, "result a")["status"] == "canceled"


def test_canceled_suspension_does_not_begin_again():
    """14.1: a cancel is no resume."""
    run = started(a_wait("a"))
    run.cancel()

    assert told(run) == ["start", "suspended a", "finish suspended", "canceled", "finish canceled"]


def test_bail_is_told_by_its_status():
    """5.8: workflow-step-result `bailed`."""
    run = started(a_step("a"), a_step("b"))
    run.bail("a", 7)

    assert told(run) == ["start", "start a", "result a", "finish success"]
    assert (payload(run, "result a")["status"], payload(run, "result a")["output"]) == ("bailed", 7)


def add(run: SimulatedRun, entry: Any, value: Any = None, *, has_payload: bool = True) -> None:
    """Put a stream event into the journal, as an engine does between two facts."""
    seq = run.records[-1].seq + 1
    raw = encode(value) if has_payload else None
    run.records.append(encode_entry(entry, seq=seq, execution=0, payload=raw))
    if raw is not None:
        run.payloads[seq] = raw


def test_what_bodies_say_is_told_with_their_call():
    """14.1, 14.3: output, progress and data carry path, attempt and call."""
    run = started(a_step("a"))
    run.begin("a")
    add(run, ChunkWritten(T0, "a", 0), {"token": "x"})
    add(run, ProgressMade(T0, "a", 0, 1, 4, "reading"), has_payload=False)
    add(run, DataEmitted(T0, "a", 0, "data-price"), 12)

    call = {"id": "a", "path": "a", "attempt": 0, "step_call_id": "a@2"}
    assert told(run)[2:] == ["output a", "progress a", "data-price a"]
    assert payload(run, "output a") == {**call, "output": {"token": "x"}}
    assert payload(run, "progress a") == {**call, "completed_count": 1, "total_count": 4, "message": "reading"}
    assert payload(run, "data-price a") == {**call, "data": 12}
    assert [event.is_by_user for event in events_of(run)] == [False, False, True, True, True]


def test_stream_event_of_a_newer_version_is_refused():
    """14.2: nothing is left out silently."""
    run = started(a_step("a"))
    add(run, ChunkWritten(T0, "a", 0), 1)
    newer = [run.records[-1]._replace(version=99), run.records[-1]._replace(type="unheard-of")]

    for record in newer:
        with pytest.raises(UnknownEventError):
            Projection(run.state.graph).read(record)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_numbers_of_all_journals_rise_and_name_their_record(file: Path):
    """14.2: whoever goes on after any event gets each of the others once, in order."""
    graph, records = read_history(file)
    projection = Projection(graph)
    values = Resolver({record.seq: record.payload for record in records if record.payload is not None})
    numbers: list[int] = []
    for record in records:
        events = projection.read(record)
        assert len(events) < EVENTS_PER_RECORD
        assert {record_seq(event.seq) for event in events} <= {record.seq}
        numbers += [event.seq for event in events]
        for event in events:
            assert all(isinstance(values.resolve(ref), bytes) for ref in event.values.values())

    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_journal_begins_with_a_start_and_ends_with_its_finish(file: Path):
    """14.2: a stream of a run that has ended ends with the finish."""
    graph, records = read_history(file)
    projection = Projection(graph)
    types = [event.type for record in records for event in projection.read(record)]

    if any(record.type == "run-started" for record in records):
        assert types[0] == "workflow-start"
    assert (types[-1:] == ["workflow-finish"]) == (fold_state(graph, records).status().is_rest)


def test_deepest_workflow_has_fewer_events_per_record_than_numbers():
    """14.2: a suspension tells of each block around it."""
    assert 2 * MAX_DEPTH + 5 < EVENTS_PER_RECORD
    node: Any = a_step("x")
    for depth in range(MAX_DEPTH // 2):
        node = a_workflow(f"w{depth}", node)
    run = SimulatedRun(a_graph(node))
    run.start()
    path = ".".join(f"w{depth}" for depth in reversed(range(MAX_DEPTH // 2))) + ".x"
    run.suspend(path)

    assert told(run).count("finish suspended") == 1
    assert len({event.seq for event in events_of(run)}) == len(events_of(run))


def record_of(run: SimulatedRun, type: str) -> Record:
    return next(record for record in run.records if record.type == type)


def test_values_are_told_by_reference():
    """19: a projection holds no user's value, however large it is."""
    run = started(a_step("a"), input=1)
    run.succeed("a", "x" * 1_000_000)

    result = next(event for event in events_of(run) if event.type == "workflow-step-result")
    assert "x" * 100 not in repr(result)
    assert decode(record_of(run, "step-succeeded").payload or b"") == run.value(result.values["output"])


def test_next_execution_tells_what_it_keeps_and_begins_again():
    run = started(a_step("a"), a_step("b"))
    run.succeed("a")
    run.fail("b")

    run.restart()
    run.succeed("b")

    assert told(run)[-6:] == ["finish failed", "start", "rewound", "start b", "result b", "finish success"]
    assert payload(run, "rewound") == {"execution": 1, "to": "", "kept": ["a"]}
    assert [event.execution for event in events_of(run)][-5:] == [1] * 5


def test_pause_ends_a_stream_and_the_next_step_begins_another():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start(per_step=True)

    run.succeed("a")
    run.go_on()
    run.succeed("b")

    assert told(run) == [
        *("start", "start a", "result a", "paused", "finish paused"),
        *("start", "start b", "result b", "finish success"),
    ]
