"""From what the author placed to a graph, its functions and its types; all that is wrong is found here (rule 1.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

from outlast.errors import DefinitionError
from outlast.graph.compatible import item_schema, why_incompatible
from outlast.graph.function import Function
from outlast.graph.hook import HookName, name_hooks
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    LoopNode,
    MapNode,
    Node,
    NodeInfo,
    ParallelNode,
    SleepNode,
    StepNode,
    Task,
    WaitNode,
    WorkflowNode,
    references_of,
    walk,
)
from outlast.graph.reducer import marks_beside
from outlast.graph.retry import Retry, to_rule
from outlast.graph.schema import JSON, Schema
from outlast.graph.sensitive import Sensitive
from outlast.graph.source import Source
from outlast.graph.source_check import check_sources
from outlast.graph.source_map import source_function
from outlast.graph.state import StateType
from outlast.graph.step import Step, check_id
from outlast.immutable import immutable, new_dict, new_list
from outlast.values import JsonValue

__all__ = ["Composition", "Placement", "WorkflowTypes", "compose"]

Kind: TypeAlias = Literal["then", "parallel", "foreach", "map", "branch", "loop", "sleep", "wait"]
"""The builder's methods."""


@immutable
class WorkflowTypes:
    """The declared types of a workflow."""

    input: Schema[Any]
    """Of its input."""
    output: Schema[Any]
    """Of its result."""
    root: WorkflowNode
    """The workflow itself, to tell it from another one that is called the same."""
    state: StateType = field(compare=False)
    """Of the run's state, as far as the workflow uses it."""
    request_context: Schema[Any]
    """Of the request context that a run of it must be started with."""

    @property
    def is_sensitive(self) -> bool:
        """Whether one of them has parts that are recorded encrypted."""
        types = (self.input, self.output, self.state.schema, self.request_context)
        return any(each.is_sensitive for each in types)


@immutable
class Composition:
    """A committed workflow in its parts."""

    graph: Graph
    """The graph as data."""
    functions: Mapping[str, Function]
    """The functions by reference, those of nested workflows included."""
    types: Mapping[str, WorkflowTypes]
    """The declared types by workflow id, nested ones included."""


@runtime_checkable
class Composed(Protocol):
    """A committed workflow, as seen from here."""

    @property
    def composition(self) -> Composition:
        """Its parts."""
        ...


@immutable(kw_only=True)
class Placement:
    """One call of a builder method."""

    kind: Kind
    """The method."""
    id: str | None
    """The id that the author gave."""
    tasks: tuple[Step[Any, Any] | Composed, ...] = ()
    """The steps and workflows it places."""
    function: Function | None = None
    """The function of a map, loop or sleep. What its input is, is known when it has its place."""
    conditions: tuple[Function, ...] = ()
    """The conditions of a branch."""
    concurrency: int | Function = 1
    """Of a foreach."""
    is_collecting: bool = False
    """Of a foreach."""
    limit: int | None = None
    """Of a parallel, or the most passes of a loop."""
    is_first_only: bool = False
    """Of a branch."""
    is_until: bool = False
    """Of a loop or a sleep."""
    time_ms: int | None = None
    """How long or until when a sleep lasts, how long a wait."""
    payload: JsonValue = None
    """Of a wait."""
    default: tuple[JsonValue, ...] = ()
    """Of a wait."""
    sources: Mapping[str, Source] | None = None
    """Of a map that no function describes."""


def compose(  # noqa: PLR0913 - the builder's own fields, each by its name
    workflow_id: str,
    *,
    input: object,
    output: object,
    state: object,
    request_context: object,
    retries: Retry | None,
    timeout_ms: int | None,
    max_recoveries: int | None,
    description: str,
    metadata: Mapping[str, JsonValue],
    hooks: Mapping[HookName, Function],
    placements: tuple[Placement, ...],
) -> Composition:
    """Make the graph, or say all that is wrong with it.

    Raises:
        DefinitionError: The message lists every problem found.
    """
    taken, given = Schema.of(input), Schema.of(output)
    declared = StateType.of(state)
    work = _Work(workflow_id, retries, declared, taken, f"the workflow's input is {taken.name}")
    work.problems.extend(_repeated_ids(placements))
    nodes = tuple(node for placement in placements if (node := work.place(placement)) is not None)
    if placements:
        work.check(given, f"the workflow's result is {given.name}", "the workflow's result")
    else:
        work.problems.append("it has no nodes; add at least one, as .then(step)")
    if work.problems:
        lines = "".join(f"\n  - {problem}" for problem in work.problems)
        message = f"workflow '{workflow_id}' cannot be committed:{lines}"
        raise DefinitionError(message)
    info = NodeInfo(
        description=description,
        metadata=metadata,
        input=_declared(taken, "validation"),
        output=_declared(given, "serialization"),
    )
    described = None if declared.schema.is_json else declared.to_json_schema()
    root = WorkflowNode(
        id=workflow_id,
        workflow=workflow_id,
        nodes=nodes,
        state=described,
        timeout_ms=timeout_ms,
        max_recoveries=max_recoveries,
        info=info,
    )
    named, told = name_hooks(workflow_id, hooks)
    functions = {**work.functions, **told}
    types = {**work.types, workflow_id: WorkflowTypes(taken, given, root, declared, Schema.of(request_context))}
    graph = Graph(
        root=root,
        hooks=named,
        codes=_codes(root, work.functions) | {ref: each.code for ref, each in told.items()},
        is_sensitive=any(each.is_sensitive for each in functions.values())
        or any(each.is_sensitive for each in types.values()),
    )
    return Composition(graph, functions, types)


def _codes(root: WorkflowNode, functions: Mapping[str, Function]) -> dict[str, str]:
    """Return name and hash of the functions by which nodes decide; steps and maps carry their own."""
    deciding = [node for node in walk(root) if isinstance(node, BranchNode | LoopNode | ForeachNode | SleepNode)]
    return {reference: functions[reference].code for node in deciding for reference in references_of(node)}


def _repeated_ids(placements: tuple[Placement, ...]) -> Iterator[str]:
    """Say which ids stand more than once; nodes that have no name of their own share that of their kind (rule 1.4)."""
    for kind in sorted(_UNNAMED):
        count = sum(1 for placement in placements if placement.kind == kind and placement.id is None)
        if count > 1:
            yield f"{count} nodes of kind '{kind}' have no id of their own; give all but one an id with id=..."
    named = Counter(node_id for placement in placements for node_id in _ids_of(placement))
    unnamed = Counter({placement.kind for placement in placements if placement.kind in _UNNAMED and not placement.id})
    for node_id, count in (named + unnamed).items():
        if count > 1:
            yield f"node id '{node_id}' stands {count} times; give one another id with id=... or .clone(id=...)"


_UNNAMED = frozenset({"branch", "map", "parallel", "sleep", "wait"})
"""Kinds of nodes that have no id to take over from a step."""


def _ids_of(placement: Placement) -> list[str]:
    """Give the ids that a placement names, those of its children included."""
    own = [placement.id] if placement.id is not None else []
    match placement.kind:
        case "parallel" | "branch":
            return [*own, *(_id_of(task) for task in placement.tasks)]
        case "map" | "sleep" | "wait":
            return own
        case _:
            return own or [_id_of(placement.tasks[0])]


def _id_for(placement: Placement, default: str) -> str:
    """Return the id of a node: that of the author, else what it has by itself."""
    return check_id(default if placement.id is None else placement.id, "node")


def _id_of(task: Step[Any, Any] | Composed) -> str:
    return task.id if isinstance(task, Step) else task.composition.graph.workflow_id


def _declared(schema: Schema[Any], mode: Literal["validation", "serialization"]) -> JsonValue:
    return None if schema.is_json else schema.to_json_schema(mode)


@dataclass(slots=True)
class _Work:
    """Places one node after the other and keeps track of the type between them."""

    workflow_id: str
    retries: Retry | None
    state: StateType
    current: Schema[Any]
    giver: str
    """What gives the current type, in words."""
    problems: list[str] = field(default_factory=new_list)
    functions: dict[str, Function] = field(default_factory=new_dict)
    types: dict[str, WorkflowTypes] = field(default_factory=new_dict)
    known: list[str] = field(default_factory=new_list)
    """Ids of the nodes placed so far, whose results a map may read."""

    def place(self, placement: Placement) -> Node | None:
        node = self._place(placement)
        if node is not None:
            children = node.children if isinstance(node, ParallelNode | BranchNode) else ()
            self.known += [node.id, *(child.id for child in children)]
        return node

    def _place(self, placement: Placement) -> Node | None:
        try:
            match placement.kind:
                case "then":
                    return self._then(placement)
                case "parallel":
                    return self._parallel(placement)
                case "foreach":
                    return self._foreach(placement)
                case "map":
                    return self._map(placement)
                case "branch":
                    return self._branch(placement)
                case "loop":
                    return self._loop(placement)
                case "sleep":
                    return self._sleep(placement)
                case "wait":
                    return self._wait(placement)
        except DefinitionError as error:
            self.problems.append(str(error))
            self._give(JSON, "an unknown value")
            return None

    def check(self, target: Schema[Any], taker: str, name: str) -> None:
        if target.is_sensitive and not self.current.is_sensitive and not self.known:
            self.problems.append(
                f"{name} takes sensitive values, but {self.giver}, so that the input would be recorded in clear; "
                f"declare a type with the same sensitive parts as the input of the workflow"
            )
        reason = why_incompatible(self.current, target)
        if reason is not None:
            self.problems.append(
                f"{name} cannot follow: {self.giver} but {taker}, and no value is both ({reason}). "
                f"Change one of the two types, or put .map(...) between them"
            )

    def _give(self, schema: Schema[Any], giver: str) -> None:
        self.current, self.giver = schema, giver

    def _then(self, placement: Placement) -> Node:
        (task,) = placement.tasks
        node = self._task(task, _id_for(placement, _id_of(task)))
        self._give(_output_of(task), f"step '{node.id}' gives {_output_of(task).name}")
        return node

    def _parallel(self, placement: Placement) -> Node:
        if not placement.tasks:
            message = f"parallel '{_id_for(placement, 'parallel')}' has no children; give at least one step"
            raise DefinitionError(message)
        children = tuple(self._task(task, _id_of(task)) for task in placement.tasks)
        node_id = _id_for(placement, "parallel")
        node = ParallelNode(id=node_id, children=children, limit=placement.limit)
        self._give(Schema.of(dict[str, Any]), f"parallel '{node.id}' gives an object keyed by child id")
        return node

    def _foreach(self, placement: Placement) -> Node:
        (task,) = placement.tasks
        node_id = _id_for(placement, _id_of(task))
        concurrency = self._concurrency(placement.concurrency, node_id)
        items = item_schema(self.current)
        if Sensitive in marks_beside(self.current.annotation):
            message = (
                f"foreach '{node_id}' needs a list that it can count, and {self.giver}, which is recorded as one "
                f"encrypted value; mark the items: list[Annotated[..., Sensitive]]"
            )
            raise DefinitionError(message)
        if items is None:
            message = f"foreach '{node_id}' needs a list, but {self.giver}; put a .map(...) before it that makes a list"
            raise DefinitionError(message)
        if not items.is_json:
            self._give(items, f"{self.giver}, whose items are {items.name},")
        else:
            self._give(JSON, self.giver)
        body = self._task(task, node_id)
        output = _output_of(task)
        is_open = output.is_json or placement.is_collecting  # a failed item leaves its error in its place
        outputs = Schema.of(list[Any] if is_open else list[output.annotation])  # type: ignore[name-defined]
        self._give(outputs, f"foreach '{node_id}' gives a list of {output.name}")
        return ForeachNode(id=node_id, body=body, concurrency=concurrency, is_collecting=placement.is_collecting)

    def _concurrency(self, concurrency: int | Function, node_id: str) -> int | str:
        if isinstance(concurrency, Function):
            return self._refer(concurrency, f"{node_id}?concurrency", self.current)
        return _checked_concurrency(concurrency, node_id)

    def _branch(self, placement: Placement) -> Node:
        node_id = _id_for(placement, "branch")
        if not placement.tasks:
            message = f"branch '{node_id}' has no children; give at least one, as .branch([(condition, step)])"
            raise DefinitionError(message)
        conditions = tuple(
            self._refer(condition, f"{node_id}?{_id_of(task)}", self.current)
            for condition, task in zip(placement.conditions, placement.tasks, strict=True)
        )
        children = tuple(self._task(task, _id_of(task)) for task in placement.tasks)
        self._give(Schema.of(dict[str, Any]), f"branch '{node_id}' gives an object keyed by child id")
        return BranchNode(id=node_id, conditions=conditions, children=children, is_first_only=placement.is_first_only)

    def _loop(self, placement: Placement) -> Node:
        (task,) = placement.tasks
        node_id = _id_for(placement, _id_of(task))
        body = self._task(task, node_id)
        output = _output_of(task)
        self._give(output, f"loop '{node_id}' gives {output.name}")
        self.check(_input_of(task), f"its next pass takes {_input_of(task).name}", f"another pass of loop '{node_id}'")
        condition = self._refer(cast("Function", placement.function), f"{node_id}?condition", output)
        return LoopNode(
            id=node_id, body=body, condition=condition, is_until=placement.is_until, max_iterations=placement.limit
        )

    def _sleep(self, placement: Placement) -> Node:
        node_id = _id_for(placement, "sleep")
        if placement.function is not None:
            role = "until" if placement.is_until else "duration"
            function = self._refer(placement.function, f"{node_id}?{role}", self.current)
            return SleepNode(id=node_id, function=function, is_until=placement.is_until)
        if placement.is_until:
            return SleepNode(id=node_id, until_ms=placement.time_ms)
        return SleepNode(id=node_id, duration_ms=placement.time_ms)

    def _wait(self, placement: Placement) -> Node:
        node_id = check_id(cast("str", placement.id), "node")
        function = cast("Function", placement.function)
        reference = f"{self.workflow_id}/{node_id}?resume"
        self.functions[reference] = function
        self._give(function.resume, f"'{node_id}' gives {function.resume.name}")
        return WaitNode(
            id=node_id,
            function=reference,
            payload=placement.payload,
            timeout_ms=placement.time_ms,
            default=placement.default,
            info=NodeInfo(output=_declared(function.resume, "validation")),
        )

    def _refer(self, function: Function, role: str, value: Schema[Any]) -> str:
        """Register a function of the reading context and return its reference."""
        reference = f"{self.workflow_id}/{role}"
        self.functions[reference] = replace(function, input=value)
        return reference

    def _map(self, placement: Placement) -> Node:
        node_id = _id_for(placement, "map")
        if placement.sources is not None:
            return self._source_map(node_id, placement.sources)
        function = cast("Function", placement.function)
        reference = self._refer(function, f"{node_id}?map", self.current)
        self._give(function.output, f"map '{node_id}' gives {function.output.name}")
        info = NodeInfo(output=_declared(function.output, "serialization"), code=function.code)
        return MapNode(id=node_id, function=reference, info=info)

    def _source_map(self, node_id: str, sources: Mapping[str, Source]) -> Node:
        problems = check_sources(sources, self.known)
        if problems:
            raise DefinitionError("; ".join(f"map '{node_id}': {problem}" for problem in problems))
        reference = f"{self.workflow_id}/{node_id}?map"
        self.functions[reference] = source_function(sources)
        self._give(Schema.of(dict[str, Any]), f"map '{node_id}' gives an object")
        return MapNode(id=node_id, function=reference, sources=tuple(sources.items()))

    def _task(self, task: Step[Any, Any] | Composed, node_id: str) -> Task:
        check_id(node_id, "node")
        if isinstance(task, Step):
            self.check(task.input, f"step '{node_id}' takes {task.input.name}", f"step '{node_id}'")
            return self._step(task, node_id)
        composition = task.composition
        inner = composition.graph.root
        taken = composition.types[inner.workflow].input
        self.check(taken, f"workflow '{node_id}' takes {taken.name}", f"workflow '{node_id}'")
        self._adopt(composition)
        self._check_state(composition.types[inner.workflow].state, f"workflow '{node_id}'")
        return WorkflowNode(id=node_id, workflow=inner.workflow, nodes=inner.nodes, state=inner.state, info=inner.info)

    def _step(self, step: Step[Any, Any], node_id: str) -> StepNode:
        reference = f"{self.workflow_id}/{node_id}"
        self.functions[reference] = step.function
        if step.function.state is not None:
            self._check_state(step.function.state, f"step '{node_id}'")
        info = NodeInfo(
            description=step.description,
            metadata=step.metadata,
            input=_declared(step.input, "validation"),
            output=_declared(step.output, "serialization"),
            code=step.function.code,
        )
        return StepNode(
            id=node_id,
            function=reference,
            retry=to_rule(step.retries or self.retries),
            timeout_ms=step.timeout_ms,
            info=info,
        )

    def _check_state(self, part: StateType, owner: str) -> None:
        self.problems.extend(f"{owner}: {problem}" for problem in self.state.check_part(part))

    def _adopt(self, inner: Composition) -> None:
        """Take over the functions and types of a nested workflow; one id must mean one workflow."""
        for workflow_id, types in inner.types.items():
            if workflow_id == self.workflow_id:
                message = f"workflow '{workflow_id}' stands in itself under the same id; clone one with .clone(id=...)"
                raise DefinitionError(message)
            if self.types.setdefault(workflow_id, types) != types:
                raise DefinitionError(_two_called(workflow_id))
        hooks = inner.graph.hooks  # of its own runs, and inside this one it has none
        for reference, function in inner.functions.items():
            if hooks is not None and reference in hooks.references:
                continue
            if self.functions.setdefault(reference, function).call is not function.call:
                raise DefinitionError(_two_called(reference.partition("/")[0]))


def _two_called(workflow_id: str) -> str:
    return f"two different workflows are called '{workflow_id}'; give one another id with .clone(id=...)"


def _checked_concurrency(concurrency: object, node_id: str) -> int:
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        message = f"foreach '{node_id}' has concurrency={concurrency!r}; it must be a whole number of at least 1"
        raise DefinitionError(message)
    return concurrency


def _input_of(task: Step[Any, Any] | Composed) -> Schema[Any]:
    if isinstance(task, Step):
        return task.input
    composition = task.composition
    return composition.types[composition.graph.workflow_id].input


def _output_of(task: Step[Any, Any] | Composed) -> Schema[Any]:
    if isinstance(task, Step):
        return task.output
    composition = task.composition
    return composition.types[composition.graph.workflow_id].output
