"""Random workflows as plans: data that is drawn, built with the public builder, and read by `interpreter.py`.

What a body does follows from its path, the attempt and whether it was resumed; nothing else. So a run has one outcome,
however its branches interleave and however often it is killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Literal, TypeAlias
from zlib import crc32

from hypothesis import strategies as st

from outlast import (
    CommittedWorkflow,
    NonRetryableError,
    ReadContext,
    Retry,
    Step,
    StepContext,
    Workflow,
    from_init,
    from_input,
    step,
    value,
)

__all__ = [
    "BranchPlan",
    "ForeachPlan",
    "LoopPlan",
    "MapPlan",
    "ParallelPlan",
    "Plan",
    "Script",
    "SleepPlan",
    "StepPlan",
    "WaitPlan",
    "WorkflowPlan",
    "answer_for",
    "build",
    "digest",
    "is_chosen",
    "mapped",
    "plain",
    "workflow_plans",
]

MAX_DEPTH = 4
_BUDGET = 40
"""About how many paths a run may have."""


@dataclass(frozen=True)
class Script:
    """What a body does: it fails a few times, then perhaps suspends, then ends."""

    failures: int = 0
    suspends: bool = False
    end: Literal["return", "bail", "fail", "stop"] = "return"


@dataclass(frozen=True)
class StepPlan:
    id: str
    scripts: tuple[Script, ...]
    limit: int
    delay_ms: int
    is_async: bool

    def script(self, path: str) -> Script:
        return self.scripts[crc32(path.encode()) % len(self.scripts)]


@dataclass(frozen=True)
class MapPlan:
    id: str
    kind: Literal["value", "list", "sources", "raise"]
    length: int
    is_async: bool


@dataclass(frozen=True)
class SleepPlan:
    id: str
    ms: int
    function: Literal["none", "answers", "raises"]


@dataclass(frozen=True)
class WaitPlan:
    id: str


@dataclass(frozen=True)
class ParallelPlan:
    id: str
    children: tuple[Task, ...]
    limit: int | None


@dataclass(frozen=True)
class BranchPlan:
    id: str
    children: tuple[Task, ...]
    verdicts: tuple[Literal["yes", "no", "input", "raise"], ...]
    is_first_only: bool
    is_async: bool


@dataclass(frozen=True)
class LoopPlan:
    id: str
    body: Task
    passes: int
    is_until: bool
    max_iterations: int | None
    raises_at: int
    is_async: bool


@dataclass(frozen=True)
class ForeachPlan:
    id: str
    body: Task
    concurrency: int
    function: Literal["none", "answers", "raises"]
    is_collecting: bool


@dataclass(frozen=True)
class WorkflowPlan:
    id: str
    nodes: tuple[Plan, ...]


Task: TypeAlias = StepPlan | WorkflowPlan
Plan: TypeAlias = Task | MapPlan | SleepPlan | WaitPlan | ParallelPlan | BranchPlan | LoopPlan | ForeachPlan


def plain(given: Any) -> Any:
    """Reduce the errors in a value to their types: tracebacks are not a matter of the workflow."""
    if isinstance(given, dict):
        if given.keys() == {"error"}:
            return {"error": given["error"]["type"]}
        return {key: plain(each) for key, each in given.items()}
    return [plain(each) for each in given] if isinstance(given, list) else given


def digest(*parts: Any) -> int:
    """Make a number of values: another value anywhere gives another number."""
    return crc32(json.dumps(parts).encode()) % 1_000


def mapped(plan: MapPlan, path: str, given: Any) -> Any:
    """Say what a map function returns for a plain input."""
    seed = digest(path, given)
    return [seed + index for index in range(plan.length)] if plan.kind == "list" else seed


def is_chosen(plan: BranchPlan, slot: int, given: Any) -> bool:
    """Say what the condition of a branch answers for a plain input; `raise` is for the caller."""
    verdict = plan.verdicts[slot]
    return verdict == "yes" or (verdict == "input" and digest(slot, given) % 2 == 0)


def answer_for(path: str) -> str:
    """Make the resume data for a path."""
    return f"go on, {path}"


@dataclass
class _Pen:
    """What is needed while a plan is drawn."""

    draw: st.DrawFn
    has_failures: bool
    has_bails: bool
    workflows: count[int] = field(default_factory=count)
    left: int = _BUDGET

    def __call__(self, *choices: Any) -> Any:
        """Draw one of some values; the first is the simplest."""
        return self.draw(st.sampled_from(choices))

    def rarely(self) -> bool:
        """Say whether something goes wrong for good."""
        return self.has_failures and self(*[False] * 9, True)


@st.composite
def workflow_plans(draw: st.DrawFn, *, has_failures: bool, has_bails: bool = True) -> WorkflowPlan:
    """Draw a workflow with up to four levels of workflows in it."""
    return _workflow(_Pen(draw, has_failures, has_bails), MAX_DEPTH, 1)


def _workflow(pen: _Pen, depth: int, times: int) -> WorkflowPlan:
    id = f"w{next(pen.workflows)}"
    names = (f"n{number}" for number in count())
    width = pen(2, 3, 4, 5) if depth == MAX_DEPTH else pen(1, 2, 3)
    nodes: list[Plan] = []
    for _ in range(width):
        nodes += _nodes(pen, names, depth, times)
    return WorkflowPlan(id, tuple(nodes))


def _nodes(pen: _Pen, names: Any, depth: int, times: int) -> list[Plan]:
    id = next(names)
    kinds = ["step", "map", "sleep", "wait"]
    if pen.left > 0:
        kinds += ["parallel", "branch", "loop", "foreach", "foreach", "workflow"]
    match pen(*kinds):
        case "map":
            kind = "raise" if pen.rarely() else pen("value", "list", "sources")
            return [MapPlan(id, kind, pen(2, 0, 1), is_async=pen(False, True))]
        case "sleep":
            return [SleepPlan(id, pen(1, 2, 3), "raises" if pen.rarely() else pen("none", "answers"))]
        case "wait":
            return [WaitPlan(id)]
        case "parallel":
            children = _children(pen, names, depth, times)
            return [ParallelPlan(id, children, pen(None, 1, 2))]
        case "branch":
            children = _children(pen, names, depth, times)
            verdicts = tuple("raise" if pen.rarely() else pen("yes", "input", "no") for _ in children)
            return [BranchPlan(id, children, verdicts, is_first_only=pen(False, True), is_async=pen(False, True))]
        case "loop":
            return [_loop(pen, id, names, depth, times)]
        case "foreach":
            return _foreach(pen, id, names, depth, times)
        case "workflow":
            return [_task(pen, names, depth, times, is_workflow=True)]
        case _:
            return [_task(pen, names, depth, times, is_workflow=False)]


def _loop(pen: _Pen, id: str, names: Any, depth: int, times: int) -> LoopPlan:
    passes = pen(2, 1, 3)
    return LoopPlan(
        id,
        _task(pen, names, depth, times * passes),
        passes,
        is_until=pen(True, False),
        max_iterations=pen(1, 2) if pen.rarely() else pen(None, passes),
        raises_at=pen(1, 2) if pen.rarely() else 0,
        is_async=pen(False, True),
    )


def _foreach(pen: _Pen, id: str, names: Any, depth: int, times: int) -> list[Plan]:
    length, concurrency = pen(2, 3, 4, 0), pen(1, 2, 3)
    body = _task(pen, names, depth, times * max(1, length))
    function = "raises" if pen.rarely() else pen("none", "answers")
    plan = ForeachPlan(id, body, concurrency, function, is_collecting=pen(False, True))
    return [MapPlan(next(names), "value" if pen.rarely() else "list", length, is_async=False), plan]


def _children(pen: _Pen, names: Any, depth: int, times: int) -> tuple[Task, ...]:
    return tuple(_task(pen, names, depth, times) for _ in range(pen(2, 3, 1, 4)))


def _task(pen: _Pen, names: Any, depth: int, times: int, *, is_workflow: bool | None = None) -> Task:
    is_workflow = pen(False, False, True) if is_workflow is None else is_workflow
    pen.left -= times
    if is_workflow and depth > 0 and pen.left > 0:
        return _workflow(pen, depth - 1, times)
    scripts = tuple(_script(pen) for _ in range(pen(1, 2, 3)))
    limit = max(script.failures for script in scripts) + pen(0, 1)
    return StepPlan(next(names), scripts, limit, pen(0, 1, 4), is_async=pen(True, False))


def _script(pen: _Pen) -> Script:
    ends = [*["return"] * 4, *["bail"] * pen.has_bails]
    end = pen("fail", "stop") if pen.rarely() else pen(*ends)
    return Script(pen(0, 0, 0, 1, 2), pen(False, False, False, True), end)


def build(plan: WorkflowPlan) -> CommittedWorkflow[Any, Any]:
    """Make the workflow of a plan with the public builder."""
    workflow: Any = Workflow(plan.id)
    for node in plan.nodes:
        workflow = _added(workflow, node)
    return workflow.commit()


def _added(workflow: Any, plan: Plan) -> Any:
    match plan:
        case StepPlan() | WorkflowPlan():
            return workflow.then(_built(plan))
        case MapPlan(kind="sources"):
            return workflow.map({"a": from_input(""), "b": value(7), "c": from_init("")}, id=plan.id)
        case MapPlan():
            return workflow.map(_map_of(plan), id=plan.id)
        case SleepPlan(function="none"):
            return workflow.sleep(timedelta(milliseconds=plan.ms), id=plan.id)
        case SleepPlan():
            return workflow.sleep(_number(plan.ms / 1_000, raises=plan.function == "raises"), id=plan.id)
        case WaitPlan():
            return workflow.wait_for(plan.id, payload={"please": plan.id})
        case ParallelPlan():
            return workflow.parallel([_built(child) for child in plan.children], limit=plan.limit, id=plan.id)
        case BranchPlan():
            cases = [(_condition_of(plan, slot), _built(child)) for slot, child in enumerate(plan.children)]
            return workflow.branch(cases, mode="first" if plan.is_first_only else "all", id=plan.id)
        case LoopPlan():
            add = workflow.dountil if plan.is_until else workflow.dowhile
            return add(_built(plan.body), _enough(plan), max_iterations=plan.max_iterations, id=plan.id)
        case ForeachPlan():
            is_constant = plan.function == "none"
            concurrency = plan.concurrency if is_constant else _number(plan.concurrency, plan.function == "raises")
            on_error = "collect" if plan.is_collecting else "fail"
            return workflow.foreach(_built(plan.body), concurrency=concurrency, on_error=on_error, id=plan.id)


def _built(plan: Task) -> Step[Any, Any] | CommittedWorkflow[Any, Any]:
    return build(plan) if isinstance(plan, WorkflowPlan) else _step_of(plan)


def _step_of(plan: StepPlan) -> Step[Any, Any]:
    def act(given: Any, ctx: StepContext) -> Any:
        script = plan.script(ctx.path)
        if ctx.attempt < script.failures:
            raise ConnectionError(f"{ctx.path} at attempt {ctx.attempt}")
        if script.suspends and not ctx.resumed:
            ctx.suspend({"at": ctx.path})
        if script.end == "fail":
            raise ValueError(ctx.path)
        if script.end == "stop":
            raise NonRetryableError(ctx.path)
        given = digest(ctx.path, plain(given), ctx.resume_data)
        return ctx.bail(given) if script.end == "bail" else given

    async def act_async(given: Any, ctx: StepContext) -> Any:
        return act(given, ctx)

    retries = Retry(limit=plan.limit, delay=timedelta(milliseconds=plan.delay_ms))
    return step(id=plan.id, retries=retries)(act_async if plan.is_async else act)


def _map_of(plan: MapPlan) -> Any:
    def function(ctx: ReadContext[Any]) -> Any:
        if plan.kind == "raise":
            raise LookupError(ctx.path)
        return mapped(plan, ctx.path, plain(ctx.input))

    async def function_async(ctx: ReadContext[Any]) -> Any:
        return function(ctx)

    return function_async if plan.is_async else function


def _condition_of(plan: BranchPlan, slot: int) -> Any:
    def condition(ctx: ReadContext[Any]) -> bool:
        if plan.verdicts[slot] == "raise":
            raise LookupError(ctx.path)
        return is_chosen(plan, slot, plain(ctx.input))

    async def condition_async(ctx: ReadContext[Any]) -> bool:
        return condition(ctx)

    return condition_async if plan.is_async else condition


def _enough(plan: LoopPlan) -> Any:
    def condition(ctx: ReadContext[Any]) -> bool:
        if ctx.iteration_count == plan.raises_at:
            raise LookupError(ctx.path)
        return (ctx.iteration_count >= plan.passes) == plan.is_until

    async def condition_async(ctx: ReadContext[Any]) -> bool:
        return condition(ctx)

    return condition_async if plan.is_async else condition


def _number(number: float, raises: bool) -> Any:
    def function(ctx: ReadContext[Any]) -> float:
        if raises:
            raise LookupError(ctx.path)
        return number

    return function
