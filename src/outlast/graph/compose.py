"""From what the author placed to a graph, its functions and its types; all that is wrong is found here (rule 1.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from outlast.errors import DefinitionError
from outlast.graph.compatible import item_schema, why_incompatible
from outlast.graph.function import Function, inspect_map
from outlast.graph.nodes import ForeachNode, Graph, MapNode, Node, NodeInfo, ParallelNode, StepNode, Task, WorkflowNode
from outlast.graph.schema import JSON, Schema
from outlast.graph.step import Retry, Step, check_id, to_rule
from outlast.values import JsonValue

__all__ = ["Composition", "Placement", "WorkflowTypes", "compose"]

Kind: TypeAlias = Literal["then", "parallel", "foreach", "map"]
"""The builder's methods."""


@dataclass(frozen=True, slots=True)
class WorkflowTypes:
    """The declared types of a workflow."""

    input: Schema[Any]
    """Of its input."""
    output: Schema[Any]
    """Of its result."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One call of a builder method."""

    kind: Kind
    """The method."""
    id: str | None
    """The id that the author gave."""
    tasks: tuple[Step[Any, Any] | Composed, ...] = ()
    """The steps and workflows it places."""
    function: Callable[..., Any] | None = None
    """The function of a map."""
    concurrency: int = 1
    """Of a foreach."""


def compose(  # noqa: PLR0913 - the builder's own fields
    workflow_id: str,
    *,
    input: object,  # noqa: A002 - the builder's own word
    output: object,
    retries: Retry | None,
    description: str,
    metadata: Mapping[str, JsonValue],
    placements: tuple[Placement, ...],
) -> Composition:
    """Make the graph, or say all that is wrong with it.

    Raises:
        DefinitionError: The message lists every problem found.
    """
    types = WorkflowTypes(Schema.of(input), Schema.of(output))
    work = _Work(workflow_id, retries, types.input, f"the workflow's input ({types.input.name})")
    if not placements:
        work.problems.append("it has no nodes; add at least one, as .then(step)")
    _check_ids(placements, work.problems)
    nodes = tuple(node for placement in placements if (node := work.place(placement)) is not None)
    work.check(types.output, f"the workflow's result takes {types.output.name}", "the workflow's result")
    if work.problems:
        lines = "".join(f"\n  - {problem}" for problem in work.problems)
        message = f"workflow '{workflow_id}' cannot be committed:{lines}"
        raise DefinitionError(message)
    info = NodeInfo(
        description=description,
        metadata=metadata,
        input=_declared(types.input, "validation"),
        output=_declared(types.output, "serialization"),
    )
    root = WorkflowNode(id=workflow_id, workflow=workflow_id, nodes=nodes, info=info)
    return Composition(Graph(root=root), work.functions, {**work.types, workflow_id: types})


def _check_ids(placements: tuple[Placement, ...], problems: list[str]) -> None:
    ids = [node_id for placement in placements for node_id in _ids_of(placement)]
    for node_id, count in Counter(ids).items():
        if count > 1:
            where = "without an id of their own; give the second one" if node_id in _UNNAMED else "times; give one"
            problems.append(f"node id '{node_id}' stands {count} {where} another id with id=..., or use .clone(id=...)")


_UNNAMED = frozenset({"map", "parallel"})


def _ids_of(placement: Placement) -> list[str]:
    match placement.kind:
        case "parallel":
            return [placement.id or "parallel", *(_id_of(task) for task in placement.tasks)]
        case "map":
            return [placement.id or "map"]
        case _:
            return [placement.id or _id_of(placement.tasks[0])]


def _id_of(task: Step[Any, Any] | Composed) -> str:
    return task.id if isinstance(task, Step) else task.composition.graph.workflow_id


def _declared(schema: Schema[Any], mode: Literal["validation", "serialization"]) -> JsonValue:
    return None if schema.is_json else schema.to_json_schema(mode)


@dataclass(slots=True)
class _Work:
    """Places one node after the other and keeps track of the type between them."""

    workflow_id: str
    retries: Retry | None
    current: Schema[Any]
    giver: str
    """What gives the current type, in words."""
    problems: list[str] = field(default_factory=list[str])
    functions: dict[str, Function] = field(default_factory=dict[str, Function])
    types: dict[str, WorkflowTypes] = field(default_factory=dict[str, WorkflowTypes])

    def place(self, placement: Placement) -> Node | None:
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
        except DefinitionError as error:
            self.problems.append(str(error))
            self._give(JSON, "an unknown value")
            return None

    def check(self, target: Schema[Any], taker: str, name: str) -> None:
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
        node = self._task(task, placement.id or _id_of(task))
        self._give(_output_of(task), f"step '{node.id}' gives {_output_of(task).name}")
        return node

    def _parallel(self, placement: Placement) -> Node:
        if not placement.tasks:
            message = f"parallel '{placement.id or 'parallel'}' has no children; give at least one step"
            raise DefinitionError(message)
        children = tuple(self._task(task, _id_of(task)) for task in placement.tasks)
        node = ParallelNode(id=check_id(placement.id or "parallel", "node"), children=children)
        self._give(Schema.of(dict[str, Any]), f"parallel '{node.id}' gives an object keyed by child id")
        return node

    def _foreach(self, placement: Placement) -> Node:
        (task,) = placement.tasks
        node_id = check_id(placement.id or _id_of(task), "node")
        concurrency = placement.concurrency
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            message = f"foreach '{node_id}' has concurrency={concurrency!r}; it must be a whole number of at least 1"
            raise DefinitionError(message)
        items = item_schema(self.current)
        if items is None:
            message = f"foreach '{node_id}' needs a list, but {self.giver}; put a .map(...) before it that makes a list"
            raise DefinitionError(message)
        if not items.is_json:
            self._give(items, f"{self.giver}, whose items are {items.name},")
        else:
            self._give(JSON, self.giver)
        body = self._task(task, node_id)
        output = _output_of(task)
        outputs = Schema.of(list[Any] if output.is_json else list[output.annotation])  # type: ignore[name-defined]
        self._give(outputs, f"foreach '{node_id}' gives a list of {output.name}")
        return ForeachNode(id=node_id, body=body, concurrency=concurrency)

    def _map(self, placement: Placement) -> Node:
        node_id = check_id(placement.id or "map", "node")
        if not callable(placement.function):
            message = f"map '{node_id}' needs a function of one context, as .map(lambda ctx: ...)"
            raise DefinitionError(message)
        function = inspect_map(placement.function, input_schema=self.current, frame_depth=0)
        reference = f"{self.workflow_id}/{node_id}?map"
        self.functions[reference] = function
        self._give(function.output, f"map '{node_id}' gives {function.output.name}")
        info = NodeInfo(output=_declared(function.output, "serialization"), code=function.code)
        return MapNode(id=node_id, function=reference, info=info)

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
        return WorkflowNode(id=node_id, workflow=inner.workflow, nodes=inner.nodes, info=inner.info)

    def _step(self, step: Step[Any, Any], node_id: str) -> StepNode:
        reference = f"{self.workflow_id}/{node_id}"
        self.functions[reference] = step.function
        info = NodeInfo(
            description=step.description,
            metadata=step.metadata,
            input=_declared(step.input, "validation"),
            output=_declared(step.output, "serialization"),
            code=step.function.code,
        )
        return StepNode(id=node_id, function=reference, retry=to_rule(step.retries or self.retries), info=info)

    def _adopt(self, inner: Composition) -> None:
        """Take over the functions and types of a nested workflow; one id must mean one workflow."""
        for workflow_id, types in inner.types.items():
            if workflow_id == self.workflow_id:
                message = f"workflow '{workflow_id}' stands in itself under the same id; clone one with .clone(id=...)"
                raise DefinitionError(message)
            self.types[workflow_id] = types
        for reference, function in inner.functions.items():
            known = self.functions.setdefault(reference, function)
            if known is not function and known.call is not function.call:
                message = f"two different workflows are called '{reference.split('/')[0]}'; give one another id"
                raise DefinitionError(message)


def _output_of(task: Step[Any, Any] | Composed) -> Schema[Any]:
    if isinstance(task, Step):
        return task.output
    composition = task.composition
    return composition.types[composition.graph.workflow_id].output
