"""Writes the golden journals that are missing, and changes none: `PYTHONPATH=tests python -m core.record_histories`.

To add one: write a scenario, run this, read the file, commit it. To change the shape of an event: raise its version,
add a scenario that records the new shape under a new name, and leave the old file alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

from core.history import HISTORIES, record_to_json, replay
from outlast.core.events import BlockFailed, RunFinished, RunStarted, StepSucceeded
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.graph.context import ReadContext, StepContext
from outlast.graph.document import graph_to_json
from outlast.graph.retry import Retry
from outlast.graph.step import step
from outlast.graph.workflow import CommittedWorkflow, Workflow
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


def lengths(context: ReadContext[object]) -> list[int]:
    return [1, 2, 3]


CHAIN = Workflow("chain", input=str, output=list[int]).then(fetch).then(parse).commit()
MAPPED = Workflow("mapped", input=str).then(fetch).map(lengths).map(lambda ctx: ctx.input[0], id="first").commit()
EACH = Workflow("each", input=list[int], output=list[int]).foreach(double, concurrency=2).commit()
BOTH = Workflow("both", input=int).parallel([double, halve]).commit()
CHILD = Workflow("child", input=int, output=int, description="Two steps.").then(double).then(halve).commit()
NESTED = Workflow("nested", input=int, output=int).then(halve).then(CHILD).then(double).commit()
DEEP = Workflow("deep", input=list[int]).foreach(CHILD, concurrency=3).commit()
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


SCENARIOS: dict[str, Callable[[], SimulatedRun]] = {
    scenario.__name__: scenario
    for scenario in (
        blocks,
        chain,
        chain_in_flight,
        failed,
        foreach,
        foreach_empty,
        foreach_failed,
        foreach_failing,
        foreach_in_flight,
        foreach_of_workflows,
        foreach_over_no_list,
        mapped,
        nested,
        nested_failed,
        nested_input_misfit,
        parallel,
        parallel_failed,
        parallel_failing,
        recovered,
        request_context,
        result_misfit,
        retry_at_once,
        retry_fired,
        retry_succeeded,
        retry_waiting,
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
