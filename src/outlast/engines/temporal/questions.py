"""What is answered in the worker that drives a run: maps, functions that steer it, checks of declared types.

They are asked together, as one local activity, which costs one event of the history and no way to the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, assert_never

from outlast.core.commands import CloseBlock, Evaluate, FinishRun, OpenBlock, RunMap
from outlast.core.frames import LeafFrame, ScopeFrame
from outlast.core.ref import Ref
from outlast.core.state import RunState
from outlast.engines.temporal.messages import Ask, Asks
from outlast.engines.temporal.tasks import Source, crashes_left
from outlast.graph.nodes import MapNode, WorkflowNode
from outlast.graph.source import source_to_json, steps_of
from outlast.immutable import immutable
from outlast.values import JsonValue, encode

__all__ = ["Question", "declares", "make_asks"]

Asking: TypeAlias = RunMap | Evaluate | OpenBlock | CloseBlock | FinishRun
"""A command that may need an answer from where the functions are."""


@immutable
class Question:
    """Something to be answered before the run goes on."""

    command: Asking
    """What is answered by it."""


def declares(state: RunState, command: OpenBlock | CloseBlock | FinishRun) -> bool:
    """Say whether a value must fit a type that a workflow declares."""
    if isinstance(command, OpenBlock):
        return command.workflow is not None and _workflow_of(state, command).info.input is not None
    if command.output is None:
        return False
    if isinstance(command, CloseBlock) and command.workflow is None:
        return False
    return _workflow_of(state, command).info.output is not None


def make_asks(run: Source, questions: Sequence[Question]) -> bytes:
    """Return the message that asks these questions."""
    table = _Table(run)
    asks = [_ask(run, table, each.command) for each in questions]
    return Asks(
        run_id=run.start.run_id,
        workflow=run.state.graph.workflow_id,
        resource_id=run.start.resource_id,
        grace_ms=run.start.grace_ms,
        crashes_left=crashes_left(run),
        state=encode(dict(run.state.data)),
        request_context=run.request_context,
        asks=asks,
        values=table.values,
        tracing=run.start.tracing,
        execution=run.state.execution,
    ).to_bytes()


def _workflow_of(state: RunState, command: OpenBlock | CloseBlock | FinishRun) -> WorkflowNode:
    if isinstance(command, FinishRun):
        return state.graph.root
    node = state.frame(command.path).node
    if not isinstance(node, WorkflowNode):
        message = f"'{command.path}' is no workflow"
        raise TypeError(message)
    return node


class _Table:
    """The values of a message, each once."""

    def __init__(self, run: Source) -> None:
        self._run = run
        self._places: dict[Ref, int] = {}
        self._size = 0
        self.values: list[bytes] = []

    def add(self, ref: Ref) -> int:
        """Return the place of a value."""
        place = self._places.get(ref)
        if place is None:
            raw = self._run.resolve(ref)
            place = self._places[ref] = len(self.values)
            self.values.append(raw)
            self._size += len(raw)
        return place

    def add_if_it_fits(self, ref: Ref) -> int | None:
        """Return the place of a value that may be asked for; None if there is no room for it."""
        if ref in self._places:
            return self._places[ref]
        if self._size + len(self._run.resolve(ref)) > self._run.start.largest // 2:
            return None
        return self.add(ref)


def _ask(run: Source, table: _Table, command: Asking) -> Ask:
    match command:
        case RunMap():
            return _map(run, table, command)
        case Evaluate():
            scope = run.state.scope_of(command.node_path)
            return Ask(
                kind="evaluate",
                path=command.node_path,
                scope=scope.node.workflow,
                value=table.add(command.input),
                function=command.function,
                purpose=command.purpose,
                iteration_count=command.iteration_count,
                init=table.add_if_it_fits(scope.input),
                results=_results(table, scope),
            )
        case OpenBlock():
            return _check(run, table, command, "input", f"input of workflow '{command.path}'")
        case CloseBlock():
            return _check(run, table, command, "output", f"output of workflow '{command.path}'")
        case FinishRun():
            return _check(run, table, command, "output", "result of the workflow")
        case _:
            assert_never(command)


def _map(run: Source, table: _Table, command: RunMap) -> Ask:
    scope = run.state.scope_of(command.path)
    frame = run.state.frame(command.path)
    node = frame.node if isinstance(frame, LeafFrame) else None
    sources: dict[str, JsonValue] | None = None
    wanted: Sequence[str] | None = None
    if isinstance(node, MapNode) and node.sources:
        sources = {key: source_to_json(source) for key, source in node.sources}
        wanted = list(steps_of(dict(node.sources)))
    return Ask(
        kind="map",
        path=command.path,
        scope=scope.node.workflow,
        value=table.add(command.input),
        function=command.function,
        sources=sources,
        init=table.add_if_it_fits(scope.input),
        results=_results(table, scope, wanted),
    )


def _results(table: _Table, scope: ScopeFrame, wanted: Sequence[str] | None = None) -> Mapping[str, int | None]:
    """Return the places of the outputs that may be asked for."""
    ids = list(scope.outputs) if wanted is None else [each for each in wanted if each in scope.outputs]
    return {node_id: table.add_if_it_fits(scope.outputs[node_id]) for node_id in ids}


def _check(run: Source, table: _Table, command: OpenBlock | CloseBlock | FinishRun, side: str, subject: str) -> Ask:
    value = command.input if isinstance(command, OpenBlock) else command.output
    if value is None:
        message = f"'{command.path}' has no value to check"
        raise TypeError(message)
    workflow = _workflow_of(run.state, command).workflow
    place = table.add(value)
    return Ask(kind="check", path=command.path, scope=workflow, value=place, function=side, subject=subject)
