"""What a graph means: how a run of it must end, found by walking the graph, without events or commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import TypeAlias, assert_never

from outlast.failures import FailureInfo
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    Task,
    WaitNode,
    WorkflowNode,
)
from outlast.graph.patch import Operation, Patch, PatchVerb
from outlast.values import JsonValue

Outcome: TypeAlias = JsonValue | FailureInfo

_NOT_A_LIST = FailureInfo(type="InputError", message="not a list")


@dataclass(frozen=True)
class Ended:
    """How a node or run ended."""

    value: JsonValue = None
    failed_at: str | None = None
    kind: str = ""
    """Type of the failure."""
    is_bail: bool = False


@dataclass(frozen=True)
class Nature:
    """How likely user code does something special."""

    failing: float = 0.0
    bailing: float = 0.0
    suspending: float = 0.0


class World:
    """What user code and resumers do: a function of the path alone, so that no order of answers changes it."""

    def __init__(self, seed: int, nature: Nature) -> None:
        self.seed = seed
        self.nature = nature

    def outcome(self, path: str, attempt: int) -> Outcome:
        random = self._random("outcome", path, attempt)
        if random.random() < self.nature.failing:
            return FailureInfo(type=f"{path}#{attempt}", message="", is_retryable=random.random() < 0.7)
        return self._value(random)

    def is_bail(self, path: str) -> bool:
        return self._random("bail", path).random() < self.nature.bailing

    def suspensions(self, path: str) -> int:
        """Say how often a step suspends before its first attempt comes to an outcome."""
        random = self._random("suspend", path)
        return random.choice([1, 1, 2]) if random.random() < self.nature.suspending else 0

    def patch(self, path: str) -> Patch:
        random = self._random("patch", path)
        verbs = (PatchVerb.ADD, PatchVerb.REPLACE, PatchVerb.DELETE)
        return tuple(Operation("n", random.choice(verbs), random.randrange(9)) for _ in range(random.choice([0, 1, 2])))

    def resume_data(self, path: str) -> JsonValue:
        return self._value(self._random("resume", path))

    def times_out(self, path: str, timeout_ms: int | None) -> bool:
        return timeout_ms is not None and self._random("late", path).random() < 0.5

    def verdict(self, path: str) -> bool | FailureInfo:
        return self.misfit("condition", path) or self._random("verdict", path).random() < 0.6

    def number(self, path: str) -> int | FailureInfo:
        """Give a length of time or a concurrency."""
        return self.misfit("number", path) or self._random("number", path).randrange(1, 5)

    def misfit(self, moment: str, path: str) -> FailureInfo | None:
        """Say what an engine finds wrong with a type, or how a function that steers the run fails."""
        if self._random(moment, path).random() < self.nature.failing / 6:
            return FailureInfo(type=f"{moment} of {path}", message="")
        return None

    def _value(self, random: Random) -> JsonValue:
        if random.random() < 0.05:
            return random.choice([None, 7, "text", {"a": 1}])
        return [random.randrange(100) for _ in range(random.choice([0, 1, 2, 2, 3, 3, 5]))]

    def _random(self, *key: object) -> Random:
        return Random(repr((self.seed, *key)))


class HealedWorld(World):
    """The same world after everything was repaired: what gave a value gives the same one, and nothing fails by itself.

    A step that had to be tried again gives what it gave in the end, whatever attempt that is.
    """

    def __init__(self, before: World) -> None:
        super().__init__(before.seed, replace(before.nature, failing=0.0))
        self._before = before

    def outcome(self, path: str, attempt: int) -> Outcome:
        tried = (self._before.outcome(path, each) for each in range(_ATTEMPTS))
        return next((each for each in tried if not isinstance(each, FailureInfo)), super().outcome(path, 0))


_ATTEMPTS = 3
"""More than any step of a random graph has."""


def slot_of(kind: str) -> JsonValue:
    """Return what a failed item leaves in the output of a collecting foreach."""
    return {"error": kind}


class Meaning:
    """The end of a run, and whether it is the only one that it can have."""

    def __init__(self, graph: Graph, world: World, value: JsonValue) -> None:
        self._world = world
        self._has_pause = False
        self._has_stop = False
        ended = self._of(graph.root, "", value)
        misfit = None if ended.failed_at is not None else world.misfit("result", "")
        self.end = replace(self._failed("", misfit) if misfit else ended, is_bail=False)

    @property
    def is_certain(self) -> bool:
        """Whether no order of answers changes the end.

        What is suspended in a block when something beside it fails is given up: then it depends on who comes first.
        """
        return not (self._has_pause and self._has_stop)

    def _of(self, node: Node, path: str, value: JsonValue) -> Ended:
        match node:
            case StepNode():
                return self._of_step(node, path)
            case MapNode():
                return self._ended(self._world.outcome(path, 0), path)
            case WorkflowNode():
                return self._of_workflow(node, path, value)
            case ForeachNode():
                return self._of_foreach(node, path, value)
            case ParallelNode():
                return self._of_children(node.children, path, value)
            case BranchNode():
                return self._of_branch(node, path, value)
            case LoopNode():
                return self._of_loop(node, path, value)
            case SleepNode():
                purpose = f"{path}?{'until' if node.is_until else 'duration'}"
                found = self._world.number(purpose) if node.function is not None else 0
                return self._failed(purpose, found) if isinstance(found, FailureInfo) else Ended(value)
            case WaitNode():
                return self._of_wait(node, path)
            case _:
                assert_never(node)

    def _of_step(self, node: StepNode, path: str) -> Ended:
        self._has_pause |= self._world.suspensions(path) > 0
        for attempt in count():
            outcome = self._world.outcome(path, attempt)
            is_last = attempt == node.retry.limit
            if not isinstance(outcome, FailureInfo):
                is_bail = self._world.is_bail(path)
                self._has_stop |= is_bail
                return Ended(outcome, is_bail=is_bail)
            if is_last or not outcome.is_retryable:
                return self._failed(path, outcome)
        raise AssertionError

    def _of_wait(self, node: WaitNode, path: str) -> Ended:
        self._has_pause = True
        if not self._world.times_out(path, node.timeout_ms):
            return Ended(self._world.resume_data(path))
        if node.default:
            return Ended(node.default[0])
        return self._failed(path, FailureInfo(type="SuspensionTimeoutError", message=""))

    def _of_workflow(self, node: WorkflowNode, path: str, value: JsonValue) -> Ended:
        if path and (misfit := self._world.misfit("input", path)) is not None:
            return self._failed(path, misfit)
        for child in node.nodes:
            ended = self._of(child, _under(path, child.id), value)
            if ended.failed_at is not None:
                return ended
            value = ended.value
            if ended.is_bail:
                break
        if path and (misfit := self._world.misfit("output", path)) is not None:
            return self._failed(path, misfit)
        return Ended(value)

    def _of_foreach(self, node: ForeachNode, path: str, value: JsonValue) -> Ended:
        if isinstance(node.concurrency, str):
            found = self._world.number(f"{path}?concurrency")
            if isinstance(found, FailureInfo):
                return self._failed(f"{path}?concurrency", found)
        if not isinstance(value, list):
            return self._failed(path, _NOT_A_LIST)
        outputs: list[JsonValue] = []
        for index, item in enumerate(value):
            ended = self._of(node.body, f"{path}[{index}]", item)
            if ended.is_bail or (ended.failed_at is not None and not node.is_collecting):
                return ended
            outputs.append(ended.value if ended.failed_at is None else slot_of(ended.kind))
        return Ended(outputs)

    def _of_branch(self, node: BranchNode, path: str, value: JsonValue) -> Ended:
        chosen: list[Task] = []
        for child in node.children:
            verdict = self._world.verdict(f"{path}?{child.id}")
            if isinstance(verdict, FailureInfo):
                return self._failed(f"{path}?{child.id}", verdict)
            if verdict:
                chosen.append(child)
                if node.is_first_only:
                    break
        return self._of_children(chosen, path, value)

    def _of_children(self, children: Sequence[Task], path: str, value: JsonValue) -> Ended:
        scope = path.rpartition(".")[0]
        ends = {child.id: self._of(child, _under(scope, child.id), value) for child in children}
        failed = next((end for end in ends.values() if end.failed_at is not None), None)
        return failed or Ended({name: end.value for name, end in ends.items()})

    def _of_loop(self, node: LoopNode, path: str, value: JsonValue) -> Ended:
        for number in count(1):
            ended = self._of(node.body, f"{path}#{number}", value)
            if ended.failed_at is not None or ended.is_bail:
                return ended
            value = ended.value
            condition = f"{path}#{number}?condition"
            verdict = self._world.verdict(condition)
            if isinstance(verdict, FailureInfo):
                return self._failed(condition, verdict)
            if verdict == node.is_until:
                return Ended(value)
            if number == node.max_iterations:
                return self._failed(path, FailureInfo(type="MaxIterationsError", message=""))
        raise AssertionError

    def _ended(self, outcome: Outcome, path: str) -> Ended:
        return self._failed(path, outcome) if isinstance(outcome, FailureInfo) else Ended(outcome)

    def _failed(self, path: str, failure: FailureInfo) -> Ended:
        self._has_stop = True
        return Ended(failed_at=path, kind=failure.type)


def _under(scope: str, id: str) -> str:
    return f"{scope}.{id}" if scope else id
