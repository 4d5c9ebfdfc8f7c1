"""The meaning of a plan: a recursive interpreter that knows nothing of events, commands, stores and crashes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from property.workflows import (
    BranchPlan,
    ForeachPlan,
    LoopPlan,
    MapPlan,
    ParallelPlan,
    Plan,
    SleepPlan,
    StepPlan,
    WaitPlan,
    WorkflowPlan,
    answer_for,
    digest,
    is_chosen,
    mapped,
)

__all__ = ["Blocked", "Done", "Failed", "Interpreter"]


@dataclass(frozen=True)
class Done:
    """It ended with a value."""

    value: Any
    is_bail: bool = False


@dataclass(frozen=True)
class Failed:
    """It failed, because of the node or function with this path."""

    path: str
    type: str


@dataclass(frozen=True)
class Blocked:
    """It can do nothing until one of these paths is resumed."""

    paths: frozenset[str]


End: TypeAlias = Done | Failed | Blocked


class Interpreter:
    """Says what a run comes to when these paths, and no others, were resumed."""

    def __init__(self, plan: WorkflowPlan, value: Any, resumed: frozenset[str]) -> None:
        self._resumed = resumed
        self.open: list[str] = []
        """Items of which only time decides whether they are begun: those after one that fails or bails."""
        self.end = self._workflow(plan, "", value)
        """How it ends, or what it waits for."""

    def _node(self, plan: Plan, path: str, value: Any, init: Any = None) -> End:
        match plan:
            case StepPlan():
                return self._step(plan, path, value)
            case MapPlan():
                return _map(plan, path, value, init)
            case SleepPlan():
                return Failed(f"{path}?duration", "LookupError") if plan.function == "raises" else Done(value)
            case WaitPlan():
                return Done(answer_for(path)) if path in self._resumed else Blocked(frozenset({path}))
            case ParallelPlan():
                return self._group(plan, range(len(plan.children)), path, value, plan.limit)
            case BranchPlan():
                return self._branch(plan, path, value)
            case LoopPlan():
                return self._loop(plan, path, value)
            case ForeachPlan():
                return self._foreach(plan, path, value)
            case WorkflowPlan():
                end = self._workflow(plan, path, value)
                return Done(end.value) if isinstance(end, Done) else end

    def _step(self, plan: StepPlan, path: str, value: Any) -> End:
        script = plan.script(path)
        if script.suspends and path not in self._resumed:
            return Blocked(frozenset({path}))
        if script.end == "fail":
            return Failed(path, "ValueError")
        if script.end == "stop":
            return Failed(path, "NonRetryableError")
        resume_data = answer_for(path) if script.suspends else None
        return Done(digest(path, value, resume_data), is_bail=script.end == "bail")

    def _workflow(self, plan: WorkflowPlan, path: str, value: Any) -> End:
        init = value
        for node in plan.nodes:
            end = self._node(node, f"{path}.{node.id}" if path else node.id, value, init)
            if not isinstance(end, Done) or end.is_bail:
                return end
            value = end.value
        return Done(value)

    def _group(
        self, plan: ParallelPlan | BranchPlan, chosen: Iterable[int], path: str, value: Any, limit: int | None
    ) -> End:
        scope = path.rpartition(".")[0]
        ends: dict[str, End] = {}
        for child in (plan.children[slot] for slot in chosen):
            waiting = sum(isinstance(end, Blocked) for end in ends.values())
            if waiting == limit and not any(isinstance(end, Failed) for end in ends.values()):
                break
            ends[child.id] = self._node(child, f"{scope}.{child.id}" if scope else child.id, value)
        return _first_failure(ends.values()) or _blocked(ends.values()) or Done(_values(ends))

    def _branch(self, plan: BranchPlan, path: str, value: Any) -> End:
        chosen: list[int] = []
        failed: Failed | None = None
        for slot, child in enumerate(plan.children):
            if plan.verdicts[slot] == "raise":
                failed = failed or Failed(f"{path}?{child.id}", "LookupError")
            elif is_chosen(plan, slot, value):
                chosen.append(slot)
            if plan.is_first_only and (chosen or failed):
                break
        return failed or self._group(plan, chosen, path, value, None)

    def _loop(self, plan: LoopPlan, path: str, value: Any) -> End:
        for number in count(1):
            end = self._node(plan.body, f"{path}#{number}", value)
            if not isinstance(end, Done) or end.is_bail:
                return end
            if number == plan.raises_at:
                return Failed(f"{path}#{number}?condition", "LookupError")
            if number >= plan.passes:
                return end
            if number == plan.max_iterations:
                return Failed(path, "MaxIterationsError")
            value = end.value
        raise AssertionError

    def _foreach(self, plan: ForeachPlan, path: str, value: Any) -> End:
        if plan.function == "raises":
            return Failed(f"{path}?concurrency", "LookupError")
        if not isinstance(value, list):
            return Failed(path, "InputError")
        ends: dict[int, End] = {}
        for index, item in enumerate(value):
            if sum(isinstance(end, Blocked) for end in ends.values()) == plan.concurrency:
                break
            end = ends[index] = self._node(plan.body, f"{path}[{index}]", item)
            is_stop = end.is_bail if isinstance(end, Done) else isinstance(end, Failed) and not plan.is_collecting
            if is_stop:
                if plan.concurrency > 1:
                    self.open += [f"{path}[{later}]" for later in range(index + 1, len(value))]
                return end
        return _blocked(ends.values()) or Done([_item(end) for end in ends.values()])


def _map(plan: MapPlan, path: str, value: Any, init: Any) -> End:
    if plan.kind == "raise":
        return Failed(path, "LookupError")
    return Done({"a": value, "b": 7, "c": init} if plan.kind == "sources" else mapped(plan, path, value))


def _first_failure(ends: Iterable[End]) -> Failed | None:
    return next((end for end in ends if isinstance(end, Failed)), None)


def _blocked(ends: Iterable[End]) -> Blocked | None:
    waiting = [end.paths for end in ends if isinstance(end, Blocked)]
    return Blocked(frozenset().union(*waiting)) if waiting else None


def _values(ends: dict[str, End]) -> dict[str, Any]:
    return {name: end.value for name, end in ends.items() if isinstance(end, Done)}


def _item(end: End) -> Any:
    return {"error": end.type} if isinstance(end, Failed) else end.value if isinstance(end, Done) else None
