"""Checking before a deploy: rule 12.5."""

from __future__ import annotations

from typing import Any

import pytest

from behaviour.bench import Bench, begin
from outlast import FindingKind, Workflow, step
from outlast.engines.capability import Capability

pytestmark = pytest.mark.requires(Capability.LISTS)


@step
async def fetch(x: int) -> int:
    return x


@step(id="parse")
async def parse(x: int) -> int:
    return x + 1


@step(id="parse")
async def parse_otherwise(x: int) -> int:
    return x + 2


CHILD = Workflow("child", input=int).then(parse).commit()
OLD = Workflow("w", input=int).then(fetch).then(CHILD).wait_for("ok").commit()


def kinds(findings: Any) -> list[tuple[str, str, int]]:
    return [(str(each.kind), each.path, each.runs) for each in findings]


async def in_flight(bench: Bench, count: int = 2) -> None:
    async with bench.app(OLD) as app:
        for _ in range(count):
            started = await begin(app, OLD, 1)
            await started.result()
        ended = await begin(app, OLD, 1)
        await ended.result()
        await ended.cancel()
        await ended.result(until="end")


async def test_same_code_finds_nothing(bench: Bench) -> None:
    """12.5: an empty list means that no run in flight would notice the deploy."""
    await in_flight(bench)
    async with bench.app(OLD, worker=False) as app:
        assert await app.check() == []


async def test_missing_function_and_changed_code_are_found_with_their_runs(bench: Bench) -> None:
    """12.5: compares new code with the runs in flight; runs that have ended do not count."""
    await in_flight(bench)
    child = Workflow("child", input=int).then(parse_otherwise).commit()
    new = Workflow("w", input=int).then(child).wait_for("ok").commit()
    async with bench.app(new, worker=False) as app:
        findings = await app.check()

    assert kinds(findings) == [
        ("missing-function", "fetch", 2),
        ("changed-code", "child.parse", 2),
        ("changed-graph", "", 2),
    ]
    assert [each.kind.is_blocking for each in findings] == [True, False, False]
    assert str(findings[0]) == "2 runs of workflow 'w' would wait at 'fetch': this code lacks 'w/fetch'"


async def test_changed_code_alone_is_no_other_graph(bench: Bench) -> None:
    """12.5: a deploy changes the bodies of functions, not the graphs of runs in flight."""
    await in_flight(bench, 1)
    child = Workflow("child", input=int).then(parse_otherwise).commit()
    new = Workflow("w", input=int).then(fetch).then(child).wait_for("ok").commit()
    async with bench.app(new, worker=False) as app:
        assert kinds(await app.check()) == [("changed-code", "child.parse", 1)]


def routed(*, limit: int, is_told: bool = True, word: str = "bye") -> Any:
    """Return a workflow whose functions beside the steps can be changed one by one."""
    if word == "bye":

        def tell(result: Any) -> None:
            print("bye")  # noqa: T201 - another constant, another code
    else:

        def tell(result: Any) -> None:
            print("so long")  # noqa: T201

    builder = Workflow("routed", input=int, on_finish=tell) if is_told else Workflow("routed", input=int)
    if limit == 5:
        routed = builder.branch([(lambda ctx: ctx.input > 5, fetch)], id="way")
    else:
        routed = builder.branch([(lambda ctx: ctx.input > 7, fetch)], id="way")
    return routed.wait_for("ok").commit()


async def test_changed_conditions_and_hooks_are_found(bench: Bench) -> None:
    """12.5: runs in flight go on with the conditions and hooks of the new code, too."""
    async with bench.app(old := routed(limit=5)) as app:
        await (await begin(app, old, 9)).result()
    async with bench.app(routed(limit=5), worker=False) as app:
        assert await app.check() == []
    async with bench.app(routed(limit=7, word="so long"), worker=False) as app:
        findings = await app.check()

    assert [(str(each.kind), each.path, each.reference) for each in findings] == [
        ("changed-code", "way", "routed/way?fetch"),
        ("changed-code", "", "routed?on_finish"),
    ]
    assert str(findings[1]) == "1 run of workflow 'routed' would go on with changed code (routed?on_finish)"


async def test_missing_hook_is_found(bench: Bench) -> None:
    """12.5, 13: a hook that the new code lacks is called by nobody."""
    async with bench.app(old := routed(limit=5)) as app:
        await (await begin(app, old, 9)).result()
    async with bench.app(routed(limit=5, is_told=False), worker=False) as app:
        findings = await app.check()

    assert [(str(each.kind), each.reference) for each in findings] == [("missing-function", "routed?on_finish")]
    assert str(findings[0]) == "1 run of workflow 'routed' would wait: this code lacks 'routed?on_finish'"


async def test_missing_workflow_is_found(bench: Bench) -> None:
    """12.5: runs of a workflow that this code does not have would wait."""
    await in_flight(bench)
    async with bench.app(CHILD, worker=False) as app:
        (finding,) = await app.check()

    assert (finding.kind, finding.workflow_id, finding.runs) == (FindingKind.MISSING_WORKFLOW, "w", 2)
    assert str(finding) == "2 runs of workflow 'w' would wait: this code has no such workflow"
