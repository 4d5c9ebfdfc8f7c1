"""Programs: a stored graph together with the functions that this process has for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from outlast.engines.base import GraphInFlight
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.compose import WorkflowTypes
from outlast.graph.document import UnknownGraphError, graph_from_json
from outlast.graph.function import Function
from outlast.graph.nodes import Graph, MapNode, Node, references_of, walk
from outlast.graph.source_map import source_function
from outlast.immutable import immutable
from outlast.sealing import Sealer
from outlast.storage.base import GraphKey, RunRow, RunStore, WorkerRow
from outlast.storage.listing import RunIndex
from outlast.values import decode

__all__ = ["Program", "ProgramShelf"]

_log = logging.getLogger("outlast.worker")


@immutable
class Program:
    """What it takes to drive runs of one graph."""

    key: GraphKey
    """The stored graph."""
    graph: Graph
    """The graph as data."""
    functions: Mapping[str, Function]
    """The functions by reference."""
    types: Mapping[str, WorkflowTypes]
    """The declared types by workflow id."""
    sealer: Sealer | None = None
    """Seals the values of its runs; None if none of its types is sensitive."""


class ProgramShelf:
    """Knows the stored graphs, and for which of them this process has the functions.

    A run keeps the graph that it was started on over deploys, so a worker drives graphs that its own code would not
    make any more. It can if every function they refer to still exists; else their runs wait for a worker that has them.
    """

    def __init__(
        self,
        store: RunStore,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        sealers: Mapping[str, Sealer] | None = None,
    ) -> None:
        self._store = store
        self._sealers = sealers or {}
        self._workflows = {workflow.id: workflow for workflow in workflows}
        self._graphs: dict[GraphKey, Graph] = {}
        self._programs: dict[GraphKey, Program] = {}
        self._current: dict[str, Program] = {}
        self._hooked: tuple[GraphKey, ...] = ()
        self._last_key: GraphKey | None = None

    async def open(self) -> None:
        """Store the graphs of this process's workflows, and look at all stored ones."""
        for workflow in self._workflows.values():
            key = await self._store.ensure_graph(workflow.id, workflow.fingerprint, workflow.document)
            program = _program(key, workflow.graph, workflow, self._sealers.get(workflow.id))
            self._current[workflow.id] = program
            self._put(key, program)
            self._graphs[key] = program.graph
        await self.look_for_new()

    async def look_for_new(self) -> None:
        """Look at the graphs that were stored since the last look, by whatever process."""
        for row in await self._store.list_graphs(after=self._last_key):
            self._last_key = row.key
            workflow = self._workflows.get(row.workflow_id)
            if workflow is None or row.key in self._programs:
                continue
            try:
                graph = await self.load_graph(row.key)
            except UnknownGraphError as error:
                _log.warning("runs of workflow '%s' wait for another worker: %s", row.workflow_id, error)
                continue
            missing = sorted(_missing(graph, workflow))
            if missing:
                names = ", ".join(missing)
                _log.warning(
                    "an older graph of workflow '%s' refers to functions that this process lacks (%s); "
                    "its runs wait for a worker that has them",
                    row.workflow_id,
                    names,
                )
                continue
            self._put(row.key, _program(row.key, graph, workflow, self._sealers.get(workflow.id)))

    @property
    def hooked(self) -> tuple[GraphKey, ...]:
        """Those of them whose runs tell hooks of their rests."""
        return self._hooked

    def _put(self, key: GraphKey, program: Program) -> None:
        self._programs[key] = program
        hooks = program.graph.hooks
        if hooks is not None and (hooks.on_finish is not None or hooks.on_error is not None):
            self._hooked = (*self._hooked, key)

    def current(self, workflow_id: str) -> Program:
        """Return the program of a workflow of this process."""
        return self._current[workflow_id]

    def program(self, key: GraphKey) -> Program:
        """Return the program of a stored graph that this process can drive."""
        return self._programs[key]

    @property
    def workflow_ids(self) -> tuple[str, ...]:
        """The workflows of this process."""
        return tuple(self._workflows)

    @property
    def keys(self) -> tuple[GraphKey, ...]:
        """The stored graphs that this process can drive."""
        return tuple(self._programs)

    @property
    def current_keys(self) -> tuple[GraphKey, ...]:
        """The graphs of the workflows as the code of this process makes them."""
        return tuple(program.key for program in self._current.values())

    async def missing_of(self, run: RunRow, workers: Sequence[WorkerRow]) -> list[tuple[str, ...]]:
        """Return what of a run's graph each worker lacks; nothing if that cannot be told."""
        wanted = _names(await self.load_graph(run.graph))
        missing: list[tuple[str, ...]] = []
        for worker in workers:
            try:
                graphs = [await self.load_graph(key) for key in worker.graphs]
            except UnknownGraphError:  # a newer version: it may well have all
                missing.append(())
                continue
            known = [_names(graph) for graph in graphs if graph.workflow_id == run.workflow_id]
            missing.append(tuple(sorted(wanted.difference(*known))))
        return missing

    async def list_in_flight(self, index: RunIndex) -> list[GraphInFlight]:
        """Return the graphs on which runs are that have not ended, also such as nobody here can read."""
        counts = await index.count_in_flight()
        found: list[GraphInFlight] = []
        for row in await self._store.list_graphs():
            if row.key in counts:
                try:
                    graph = await self.load_graph(row.key)
                except UnknownGraphError:
                    graph = None
                found.append(GraphInFlight(workflow_id=row.workflow_id, graph=graph, runs=counts[row.key]))
        return found

    async def load_graph(self, key: GraphKey) -> Graph:
        """Return a stored graph, also one that this process cannot drive.

        Raises:
            UnknownGraphError: A newer version of Outlast wrote it.
        """
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._graphs[key] = graph_from_json(decode(await self._store.load_graph(key)))
        return graph


def _names(graph: Graph) -> frozenset[str]:
    return frozenset(name for node in walk(graph.root) for name in references_of(node))


def _program(key: GraphKey, graph: Graph, workflow: CommittedWorkflow[Any, Any], sealer: Sealer | None) -> Program:
    """Bring a graph together with the functions of this process, and those that the graph itself describes."""
    described = {node.function: source_function(dict(node.sources)) for node in _source_maps(graph.root)}
    composition = workflow.composition
    return Program(key, graph, {**composition.functions, **described}, composition.types, sealer)


def _missing(graph: Graph, workflow: CommittedWorkflow[Any, Any]) -> set[str]:
    functions, types = workflow.composition.functions, workflow.composition.types
    wanted = {name for node in walk(graph.root) for name in references_of(node)}
    wanted.update(graph.hooks.references if graph.hooks is not None else ())
    return {name for name in wanted if name not in functions and name not in types}


def _source_maps(root: Node) -> Iterator[MapNode]:
    return (node for node in walk(root) if isinstance(node, MapNode) and node.sources)
