"""Writes the golden journals that are missing, and changes none: `PYTHONPATH=tests python -m core.record_histories`.

To add one: write a scenario, run this, read the file, commit it. To change the shape of an event: raise its version,
add a scenario that records the new shape under a new name, and leave the old file alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from typing_extensions import TypedDict

from core.history import HISTORIES, record_to_json, replay
from outlast.core.events import (
    BlockFailed,
    HookEnded,
    HookStarted,
    RunCrashed,
    RunCreated,
    RunFinished,
    RunGivenUp,
    RunStarted,
    RunTimedOut,
    StartTimedOut,
    StepResumed,
    StepSucceeded,
)
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.context import ReadContext, StepContext
from outlast.graph.document import graph_to_json
from outlast.graph.patch import Operation, PatchVerb
from outlast.graph.reducer import Add, Append
from outlast.graph.retry import Retry
from outlast.graph.source import from_input
from outlast.graph.source import value as literal
from outlast.graph.step import step
from outlast.graph.workflow import Workflow
from outlast.trace import Tracing
from outlast.values import JsonValue, decode, encode
from simulated import T0, SimulatedRun

FAILURE = FailureInfo(
    type="ConnectionError",
    message="refused ✗",
    traceback="Traceback (most recent call last): ...",
    attributes={"errno": 111, "hosts": ["a", "b"]},
    cause=FailureInfo(type="OSError", message="no route"),
)
FINAL = FailureInfo(type="NonRetryableError", message="card expired", is_retryable=False)
MISFIT = FailureInfo(type="InputError", message="not valid: an integer is needed", is_retryable=False)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@step
async def fetch(url: str) -> dict[str, str]:
    """Get a page."""
    return {"page": url}


@step(retries=2, metadata={"team": "search"})
async def parse(page: dict[str, str]) -> list[int]:
    return [len(text) for text in page.values()]


@step(retries=Retry(limit=1, delay=timedelta(seconds=30)))
def double(number: int, context: StepContext) -> int:
    return number * 2


@step
def halve(number: int) -> int:
    return number // 2


class Tally(TypedDict, total=False):
    count: Annotated[int, Add]
    log: Annotated[list[str], Append]
    draft: str


def is_big(context: ReadContext[int]) -> bool:
    return context.input > 100


def lengths(context: ReadContext[object]) -> list[int]:
    return [1, 2, 3]


CHAIN = Workflow("chain", input=str, output=list[int]).then(fetch).then(parse).commit()
MAPPED = Workflow("mapped", input=str).then(fetch).map(lengths).map(lambda ctx: ctx.input[0], id="first").commit()
EACH = Workflow("each", input=list[int], output=list[int]).foreach(double, concurrency=2).commit()
BOTH = Workflow("both", input=int).parallel([double, halve]).commit()
CHILD = Workflow("child", input=int, output=int, description="Two steps.").then(double).then(halve).commit()
NESTED = Workflow("nested", input=int, output=int).then(halve).then(CHILD).then(double).commit()
DEEP = Workflow("deep", input=list[int]).foreach(CHILD, concurrency=3).commit()
ROUTE = Workflow("route", input=int).branch([(is_big, double), (lambda ctx: ctx.input > 0, halve)]).commit()
FIRST = Workflow("first", input=int).branch([(is_big, double), (is_big, halve)], mode="first", id="route").commit()
POLL = Workflow("poll", input=int, output=int).dountil(double, is_big, max_iterations=2, id="poll").commit()
SPIN = Workflow("spin", input=int, output=int).dowhile(CHILD, is_big, id="spin").commit()
NAP = Workflow("nap", input=int, output=int).then(halve).sleep(90).commit()
NAPS = Workflow("naps", input=int).sleep(lambda ctx: ctx.input, id="first").sleep_until(NOON, id="second").commit()
APPROVAL = Workflow("approval", input=int).wait_for("approve", resume=bool, payload={"ask": "ok?"}).commit()
PATIENT = Workflow("patient").wait_for("approve", resume=bool, timeout=60, default=False).commit()
HURRIED = Workflow("hurried").wait_for("approve", resume=bool, timeout=60).commit()
LIMITED = Workflow("limited", input=int).parallel([double, halve, CHILD], limit=2).commit()
COLLECT = Workflow("collect", input=list[int]).foreach(double, concurrency=2, on_error="collect").commit()
WIDE = Workflow("wide", input=list[int]).foreach(halve, concurrency=lambda ctx: len(ctx.input)).commit()
SIDES = Workflow("sides", input=list[int]).foreach(BOTH, concurrency=2, id="each").commit()
HOOKED = Workflow("hooked", input=int, output=int, on_start=print, on_finish=print).then(halve).commit()
SOURCES = Workflow("sources", input=int).map({"half": from_input(""), "kind": literal("order")}).commit()
STATEFUL = Workflow("stateful", input=int, state=Tally).then(halve).then(double).commit()
BLOCKS = Workflow("blocks", input=int).parallel([CHILD, double], id="sides").map(lengths).foreach(halve).commit()


def begin(workflow: CommittedWorkflow[object, object], value: JsonValue) -> SimulatedRun:
    run = SimulatedRun(workflow.graph, value)
    run.start()
    return run


def chain() -> SimulatedRun:
    run = begin(CHAIN, "https://example.org")
    run.now_ms += 5
    run.succeed("fetch", {"page": "text ✓"})
    run.now_ms += 5
    run.succeed("parse", [6])
    return run


def created() -> SimulatedRun:
    run = SimulatedRun(CHAIN.graph, "https://example.org")
    run.record(RunCreated(T0, T0 + 60_000))
    return run


def created_and_canceled() -> SimulatedRun:
    run = created()
    run.cancel("not needed")
    return run


def created_and_started() -> SimulatedRun:
    run = created()
    run.now_ms += 5
    run.start()
    run.succeed("fetch", {"page": "text"})
    return run


def never_started() -> SimulatedRun:
    run = created()
    run.now_ms += 60_000
    run.record(StartTimedOut(run.now_ms, "?start"))
    return run


def chain_in_flight() -> SimulatedRun:
    run = begin(CHAIN, "https://example.org")
    run.succeed("fetch", {"page": "text"})
    run.begin("parse")
    return run


def recovered() -> SimulatedRun:
    run = chain_in_flight()
    run.begin("parse", is_recovered=True)
    return run


def request_context() -> SimulatedRun:
    run = SimulatedRun(CHAIN.graph)
    run.record_one(RunStarted(T0, {"tenant": "acme", "flags": [True, None]}), encode("https://example.org"))
    return run


def mapped() -> SimulatedRun:
    run = begin(MAPPED, "u")
    run.succeed("fetch", {"page": "u"})
    run.succeed("map", [1, 2, 3])
    run.succeed("first", 1)
    return run


def foreach() -> SimulatedRun:
    run = begin(EACH, [5, 6, 7])
    run.succeed("double[1]", 12)
    run.succeed("double[0]", 10)
    run.succeed("double[2]", 14)
    return run


def foreach_empty() -> SimulatedRun:
    return begin(EACH, [])


def foreach_in_flight() -> SimulatedRun:
    run = begin(EACH, [5, 6, 7, 8])
    run.succeed("double[1]", 12)
    run.begin("double[0]")
    return run


def foreach_failing() -> SimulatedRun:
    """One item failed for good; the one beside it waits for its retry."""
    run = begin(EACH, [5, 6, 7, 8])
    run.fail("double[1]", FINAL)
    run.fail("double[0]", FAILURE)
    return run


def foreach_failed() -> SimulatedRun:
    run = foreach_failing()
    run.fire("double[0]")
    run.succeed("double[0]", 10)
    return run


def foreach_over_no_list() -> SimulatedRun:
    return begin(EACH, {"not": "a list"})


def foreach_of_workflows() -> SimulatedRun:
    run = begin(DEEP, [1, 2])
    run.succeed("child[1].double", 4)
    run.succeed("child[1].halve", 2)
    run.begin("child[0].double")
    return run


def parallel() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.succeed("halve", 4)
    run.succeed("double", 16)
    return run


def parallel_failing() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.fail("halve", FAILURE)
    run.begin("double")
    return run


def parallel_failed() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.fail("halve", FAILURE)
    run.fail("double", FINAL)
    return run


def nested() -> SimulatedRun:
    run = begin(NESTED, 8)
    for path, value in (("halve", 4), ("child.double", 8), ("child.halve", 4), ("double", 8)):
        run.succeed(path, value)
    return run


def nested_failed() -> SimulatedRun:
    run = begin(NESTED, 8)
    run.succeed("halve", 4)
    run.fail("child.double", FINAL)
    return run


def nested_input_misfit() -> SimulatedRun:
    run = SimulatedRun(NESTED.graph, 8)
    run.start()
    run.begin("halve")
    run.record_one(StepSucceeded(run.now_ms, "halve", 0), b'"four"')
    run.record(BlockFailed(run.now_ms, "child", None, MISFIT))
    return run


def blocks() -> SimulatedRun:
    run = begin(BLOCKS, 8)
    for path, value in (("double", 16), ("child.double", 16), ("child.halve", 8), ("map", [1]), ("halve[0]", 0)):
        run.succeed(path, value)
    return run


def retry_at_once() -> SimulatedRun:
    run = begin(CHAIN, "u")
    run.succeed("fetch", {"page": "u"})
    run.fail("parse", FAILURE)
    run.now_ms += 3
    run.fail("parse", FAILURE)
    return run


def retry_waiting() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.succeed("halve", 4)
    run.fail("double", FAILURE)
    return run


def retry_fired() -> SimulatedRun:
    run = retry_waiting()
    run.fire("double")
    return run


def retry_succeeded() -> SimulatedRun:
    run = retry_fired()
    run.succeed("double", 16)
    return run


def branch_asked() -> SimulatedRun:
    run = begin(ROUTE, 8)
    run.evaluate("branch?double", 0)
    return run


def branch() -> SimulatedRun:
    run = branch_asked()
    run.evaluate("branch?halve", 1)
    run.succeed("halve", 4)
    return run


def branch_none_true() -> SimulatedRun:
    run = branch_asked()
    run.evaluate("branch?halve", 0)
    return run


def branch_condition_failed() -> SimulatedRun:
    run = begin(ROUTE, 8)
    run.fail_evaluation("branch?halve", FAILURE)
    run.evaluate("branch?double", 1)
    return run


def branch_first() -> SimulatedRun:
    run = begin(FIRST, 8)
    run.evaluate("route?double", 1)
    run.begin("double")
    return run


def loop() -> SimulatedRun:
    run = begin(POLL, 60)
    run.succeed("poll#1", 99)
    run.evaluate("poll#1?condition", 0)
    run.succeed("poll#2", 198)
    run.evaluate("poll#2?condition", 1)
    return run


def loop_asked() -> SimulatedRun:
    run = begin(POLL, 60)
    run.succeed("poll#1", 99)
    return run


def loop_too_long() -> SimulatedRun:
    run = begin(POLL, 1)
    for number in (1, 2):
        run.succeed(f"poll#{number}", 2)
        run.evaluate(f"poll#{number}?condition", 0)
    return run


def loop_condition_failed() -> SimulatedRun:
    run = loop_asked()
    run.fail_evaluation("poll#1?condition", FAILURE)
    return run


def loop_of_workflows() -> SimulatedRun:
    run = begin(SPIN, 1)
    run.succeed("spin#1.double", 2)
    run.succeed("spin#1.halve", 1)
    run.evaluate("spin#1?condition", 1)
    run.begin("spin#2.double")
    return run


def loop_bailed() -> SimulatedRun:
    run = begin(POLL, 60)
    run.bail("poll#1", 0)
    return run


def asleep() -> SimulatedRun:
    run = begin(NAP, 8)
    run.now_ms += 7
    run.succeed("halve", 4)
    return run


def woken() -> SimulatedRun:
    run = asleep()
    run.fire("sleep")
    return run


def sleep_evaluated() -> SimulatedRun:
    run = begin(NAPS, 8)
    run.evaluate("first?duration", T0 + 8_000)
    run.fire("first")
    return run


def sleep_evaluation_failed() -> SimulatedRun:
    run = begin(NAPS, 8)
    run.fail_evaluation("first?duration", FAILURE)
    return run


def waiting() -> SimulatedRun:
    return begin(APPROVAL, 8)


def wait_resumed() -> SimulatedRun:
    run = waiting()
    run.now_ms += 60_000
    run.record(StepResumed(run.now_ms, "approve", {"approver": "eve"}), True, has_payload=True)
    return run


def wait_with_timeout() -> SimulatedRun:
    return begin(PATIENT, 8)


def wait_defaulted() -> SimulatedRun:
    run = wait_with_timeout()
    run.time_out("approve")
    return run


def wait_timed_out() -> SimulatedRun:
    run = begin(HURRIED, 8)
    run.time_out("approve")
    return run


def suspended() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.suspend("double", {"ask": "really?"}, label="boss")
    run.suspend("halve", {"ask": "why?"}, timeout_ms=5_000)
    return run


def resumed() -> SimulatedRun:
    run = suspended()
    run.now_ms += 10
    run.resume("double", {"approved": True})
    return run


def suspended_again() -> SimulatedRun:
    run = resumed()
    run.suspend("double", {"ask": "sure?"})
    return run


def suspension_timed_out() -> SimulatedRun:
    run = suspended()
    run.time_out("halve")
    run.begin("halve")
    return run


def suspension_abandoned() -> SimulatedRun:
    run = suspended()
    run.resume("halve", None)
    run.fail("halve", FINAL)
    return run


def suspended_items() -> SimulatedRun:
    run = begin(SIDES, [1, 2, 3])
    run.suspend("each[0].double", 0)
    run.suspend("each[1].halve", 1)
    run.succeed("each[0].halve", 0)
    run.begin("each[1].double")
    return run


def bailed() -> SimulatedRun:
    run = begin(CHAIN, "u")
    run.bail("fetch", [])
    return run


def bailed_in_nested() -> SimulatedRun:
    run = begin(NESTED, 8)
    run.succeed("halve", 4)
    run.bail("child.double", 7)
    run.begin("double")
    return run


def bailed_in_parallel() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.bail("double", 0)
    run.succeed("halve", 4)
    return run


def bailed_in_foreach() -> SimulatedRun:
    run = begin(EACH, [5, 6, 7])
    run.bail("double[1]", [])
    run.succeed("double[0]", 10)
    return run


def parallel_limited() -> SimulatedRun:
    run = begin(LIMITED, 8)
    run.succeed("halve", 4)
    return run


def collected() -> SimulatedRun:
    run = begin(COLLECT, [1, 2, 3])
    run.fail("double[1]", FINAL)
    run.succeed("double[0]", 2)
    run.succeed("double[2]", 6)
    return run


def foreach_evaluated() -> SimulatedRun:
    run = begin(WIDE, [4, 6])
    run.evaluate("halve?concurrency", 2)
    return run


def foreach_evaluation_failed() -> SimulatedRun:
    run = begin(WIDE, [4, 6])
    run.fail_evaluation("halve?concurrency", FAILURE)
    return run


def sources() -> SimulatedRun:
    run = begin(SOURCES, 8)
    run.succeed("map", {"half": 8, "kind": "order"})
    return run


def state_changed() -> SimulatedRun:
    run = SimulatedRun(STATEFUL.graph)
    run.record(RunStarted(T0, {}, {"count": 1, "draft": "d"}, include_state=True), 8, has_payload=True)
    run.succeed("halve", 4, patch=(Operation("count", PatchVerb.ADD, 2), Operation("draft", PatchVerb.DELETE)))
    run.suspend("double", patch=(Operation("log", PatchVerb.APPEND, "asked"),))
    return run


def cancel_requested() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.begin("double")
    run.cancel("too late ✗")
    return run


def canceled() -> SimulatedRun:
    run = cancel_requested()
    run.give_up("double")
    return run


def timed_out() -> SimulatedRun:
    run = SimulatedRun(BOTH.graph, 8)
    run.record(RunStarted(T0, deadline_ms=T0 + 9_000), 8, has_payload=True)
    run.begin("double")
    run.record(RunTimedOut(T0 + 9_000, "?deadline"))
    return run


def to_begin_in_time() -> SimulatedRun:
    run = SimulatedRun(BOTH.graph, 8)
    run.record(RunStarted(T0, deadline_ms=T0 + 9_000, start_deadline_ms=T0 + 3_000), 8, has_payload=True)
    return run


def begun_in_time() -> SimulatedRun:
    run = to_begin_in_time()
    run.begin("double")
    return run


def begun_too_late() -> SimulatedRun:
    run = to_begin_in_time()
    run.record(StartTimedOut(T0 + 3_000, "?start"))
    return run


def out_of_time() -> SimulatedRun:
    run = timed_out()
    run.give_up("double")
    return run


def crashed() -> SimulatedRun:
    run = begin(BOTH, 8)
    run.begin("double")
    run.record(RunCrashed(T0 + 1, is_poison=False))
    return run


def poisoned() -> SimulatedRun:
    run = crashed()
    run.record(RunCrashed(T0 + 2, is_poison=True))
    return run


def traced() -> SimulatedRun:
    run = SimulatedRun(CHAIN.graph)
    asked = Tracing(
        trace_id="0" * 31 + "a",
        parent_span_id="0" * 15 + "b",
        metadata={"tenant": "acme"},
        tags=("night",),
        root_span_name="nightly",
        request_context_keys=("user.id",),
        hide_input=True,
        hide_output=True,
        is_sampled=False,
    )
    run.record_one(RunStarted(T0, tracing=asked), encode("https://example.org"))
    return run


def given_up() -> SimulatedRun:
    run = chain_in_flight()
    run.record(RunGivenUp(T0 + 2, FailureInfo(type="WorkflowTerminatedError", message="by hand", is_retryable=False)))
    return run


def canceled_asleep() -> SimulatedRun:
    run = asleep()
    run.cancel()
    return run


def result_referred() -> SimulatedRun:
    run = begin(CHAIN, "u")
    run.succeed("fetch", {"page": "u"})
    run.begin("parse")
    run.record_one(StepSucceeded(run.now_ms, "parse", 0), b"[1]")
    run.record_one(RunFinished(run.now_ms, RunStatus.SUCCESS, output_seq=5))
    return run


def failed() -> SimulatedRun:
    run = begin(CHAIN, "u")
    run.fail("fetch", FAILURE)
    return run


def result_misfit() -> SimulatedRun:
    run = begin(CHAIN, "u")
    run.succeed("fetch", {"page": "u"})
    run.begin("parse")
    run.record_one(StepSucceeded(run.now_ms, "parse", 0), b'"text"')
    run.record_one(RunFinished(run.now_ms, RunStatus.FAILED, None, MISFIT))
    return run


def paused() -> SimulatedRun:
    run = SimulatedRun(CHAIN.graph, "https://example.org")
    run.start(per_step=True)
    run.succeed("fetch", {"page": "<html>"})
    return run


def continued() -> SimulatedRun:
    run = paused()
    run.go_on()
    run.succeed("parse", [6])
    return run


def restarted() -> SimulatedRun:
    run = begin(BLOCKS, 8)
    run.succeed("child.double", 16)
    run.succeed("double", 16)
    run.fail("child.halve", FINAL)
    run.restart()
    return run


def restarted_loop() -> SimulatedRun:
    run = begin(SPIN, 1)
    run.succeed("spin#1.double", 200)
    run.succeed("spin#1.halve", 101)
    run.evaluate("spin#1?condition", 1)
    run.succeed("spin#2.double", 202)
    run.fail("spin#2.halve", FINAL)
    run.restart()
    return run


def rewound() -> SimulatedRun:
    run = begin(NESTED, 4)
    run.succeed("halve", 2)
    run.succeed("child.double", 4)
    run.succeed("child.halve", 2)
    run.succeed("double", 4)
    run.rewind("child.halve", 99, context={"halve": 3}, state={"note": "again"}, per_step=True)
    return run


def rewound_item() -> SimulatedRun:
    run = begin(DEEP, [1, 2])
    for index in range(2):
        run.succeed(f"child[{index}].double", 2)
        run.succeed(f"child[{index}].halve", 1)
    run.rewind("child[1].halve")
    return run


def rewound_resumed() -> SimulatedRun:
    run = begin(CHAIN, "https://example.org")
    run.suspend("fetch", {"ask": "ok?"})
    run.rewind("fetch", resume="ok")
    return run


def rewound_unstarted() -> SimulatedRun:
    run = begin(NESTED, 4)
    run.rewind("child.halve", 7)
    return run


def hook_called() -> SimulatedRun:
    run = begin(HOOKED, 8)
    run.record(HookStarted(T0, "?on_start"))
    return run


def hook_returned() -> SimulatedRun:
    run = hook_called()
    run.record(HookEnded(T0 + 1, "?on_start", None))
    run.succeed("halve", 4)
    return run


def hook_raised() -> SimulatedRun:
    run = hook_called()
    run.record(HookEnded(T0 + 1, "?on_start", FAILURE))
    return run


SCENARIOS: dict[str, Callable[[], SimulatedRun]] = {
    scenario.__name__: scenario
    for scenario in (
        asleep,
        bailed,
        bailed_in_foreach,
        bailed_in_nested,
        bailed_in_parallel,
        blocks,
        branch,
        branch_asked,
        branch_condition_failed,
        branch_first,
        branch_none_true,
        cancel_requested,
        canceled,
        canceled_asleep,
        chain,
        chain_in_flight,
        collected,
        continued,
        crashed,
        begun_in_time,
        begun_too_late,
        to_begin_in_time,
        created,
        created_and_canceled,
        created_and_started,
        failed,
        foreach,
        foreach_empty,
        foreach_evaluated,
        foreach_evaluation_failed,
        foreach_failed,
        foreach_failing,
        foreach_in_flight,
        foreach_of_workflows,
        foreach_over_no_list,
        hook_called,
        hook_raised,
        hook_returned,
        loop,
        loop_asked,
        loop_bailed,
        loop_condition_failed,
        loop_of_workflows,
        loop_too_long,
        mapped,
        nested,
        nested_failed,
        nested_input_misfit,
        never_started,
        out_of_time,
        parallel,
        parallel_failed,
        parallel_failing,
        parallel_limited,
        paused,
        poisoned,
        given_up,
        recovered,
        request_context,
        result_misfit,
        result_referred,
        restarted,
        restarted_loop,
        resumed,
        retry_at_once,
        retry_fired,
        retry_succeeded,
        retry_waiting,
        rewound,
        rewound_item,
        rewound_resumed,
        rewound_unstarted,
        sleep_evaluated,
        sleep_evaluation_failed,
        sources,
        state_changed,
        suspended,
        suspended_again,
        suspended_items,
        suspension_abandoned,
        suspension_timed_out,
        timed_out,
        traced,
        wait_defaulted,
        wait_resumed,
        wait_timed_out,
        wait_with_timeout,
        waiting,
        woken,
    )
}


def main() -> None:
    for name, scenario in SCENARIOS.items():
        file = HISTORIES / f"{name}.json"
        if not file.exists():
            run = scenario()
            graph = decode(encode(graph_to_json(run.state.graph)))
            records = [record_to_json(record) for record in run.records]
            history = {"graph": graph, "records": records, "then": replay(graph, run.records)}
            file.write_text(json.dumps(history, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
