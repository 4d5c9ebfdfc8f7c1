"""Committed workflows: immutable and runnable. They find the app that runs them, and know nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast

from outlast.elsewhere import point_elsewhere, public_names
from outlast.errors import UnattachedWorkflowError
from outlast.graph.compose import Composition
from outlast.graph.document import fingerprint_of, graph_to_json
from outlast.graph.function import Function
from outlast.graph.limit import LimitRule
from outlast.graph.nodes import Graph
from outlast.graph.render import to_mermaid
from outlast.graph.schema import Schema
from outlast.graph.state import StateType
from outlast.graph.step import check_id
from outlast.scheduling.schedule import Schedule
from outlast.values import JsonValue, decode, encode

if TYPE_CHECKING:
    from datetime import datetime

    from outlast.beginning import Run
    from outlast.reading import Field, RunDetails, RunPage, StatusFilter
    from outlast.results import RunResult

__all__ = ["CommittedWorkflow", "Host", "Unfinished", "current_host", "find_host", "open_hosts"]

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)

Recommit: TypeAlias = "Callable[[str], CommittedWorkflow[Any, Any]]"
"""Commits the same builder under another id."""


class Host(Protocol):
    """An open app, as a workflow sees it."""

    async def create_run(
        self, workflow: CommittedWorkflow[In, Out], *, run_id: str | None = None, resource_id: str | None = None
    ) -> Run[In, Out]:
        """Return a run that may be started."""
        ...

    async def find_result(self, workflow: CommittedWorkflow[In, Out], run_id: str) -> RunResult[Out] | None:
        """Return what is known of a run of this workflow, or None if there is none."""
        ...

    async def start_many(
        self, workflow: CommittedWorkflow[Any, Any], items: Sequence[Mapping[str, object]]
    ) -> list[str]:
        """Start many runs in few transactions, and return their ids in the order of the items."""
        ...

    async def find_details(
        self, workflow: CommittedWorkflow[In, Out], run_id: str, fields: Sequence[Field] | None
    ) -> RunDetails[Out] | None:
        """Return a run of this workflow with the parts asked for, or None if there is none."""
        ...

    async def delete_found(self, workflow: CommittedWorkflow[Any, Any], run_id: str) -> None:
        """Delete a run of this workflow that has ended."""
        ...

    async def list_runs(  # noqa: PLR0913 - the conditions of a list, all by name
        self,
        workflow: CommittedWorkflow[Any, Any] | str | None = None,
        *,
        status: StatusFilter = None,
        resource_id: str | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        tags: Sequence[str] = (),
        search: str | None = None,
        after: str | None = None,
        per_page: int = 50,
    ) -> RunPage:
        """Return a page of runs, those recorded last first."""
        ...


current_host: ContextVar[tuple[Host, ...]] = ContextVar("outlast_hosts", default=())
"""The apps entered in this context, innermost last."""
_open_hosts: list[Host] = []


def find_host(workflow_id: str) -> Host:
    """Return the app entered innermost in this context, else the only open one.

    Raises:
        UnattachedWorkflowError: There is no app, or several and none was entered here.
    """
    entered = [host for host in current_host.get() if host in _open_hosts]
    if entered:
        return entered[-1]
    if len(_open_hosts) == 1:
        return _open_hosts[0]
    number = "no app is open" if not _open_hosts else f"{len(_open_hosts)} apps are open and none was entered here"
    message = (
        f"workflow '{workflow_id}' cannot be run: {number}. "
        f"Enter one with `async with Outlast([workflow]) as app:`, or name it: `await app.create_run(workflow)`"
    )
    raise UnattachedWorkflowError(message)


def open_hosts() -> list[Host]:
    """Return the list of open apps, in which an app puts itself while it is open."""
    return _open_hosts


@dataclass(frozen=True, slots=True, eq=False)
class CommittedWorkflow(Generic[In_contra, Out_co]):
    """An immutable, runnable workflow, made by `Workflow.commit()`: a graph as data, and the functions it refers to."""

    composition: Composition
    """The graph, the functions and the types."""
    schedules: tuple[Schedule, ...]
    """When it is started by itself: beside the graph, so that a run does not depend on what started it."""
    _recommit: Recommit = field(repr=False)
    limits: tuple[LimitRule, ...] = ()
    """How many of its runs go on, or begin. Not part of the graph: they hold for all runs of the workflow, those that
    were started before a deploy included."""
    id: str = field(init=False)
    """Id of the workflow."""
    input: Schema[Any] = field(init=False)
    """Declared type of the input."""
    output: Schema[Any] = field(init=False)
    """Declared type of the result."""
    state: StateType = field(init=False)
    """Declared type of the run's state."""
    request_context: Schema[Any] = field(init=False)
    """Declared type of the request context."""
    _document: bytes | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        workflow_id = self.composition.graph.workflow_id
        types = self.composition.types[workflow_id]
        known = {"id": workflow_id, "input": types.input, "output": types.output, "state": types.state}
        for name, value in {**known, "request_context": types.request_context}.items():
            object.__setattr__(self, name, value)

    @property
    def graph(self) -> Graph:
        """The graph as data."""
        return self.composition.graph

    @property
    def functions(self) -> Mapping[str, Function]:
        """The functions by the references that the graph uses, those of nested workflows included."""
        return self.composition.functions

    @property
    def is_sensitive(self) -> bool:
        """Whether a type that it or one of its nodes declares has parts that are recorded encrypted."""
        return self.graph.is_sensitive

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the graph as a JSON object of the caller's own: what is stored with each run."""
        return cast("dict[str, JsonValue]", decode(self.document))

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart."""
        return to_mermaid(self.graph)

    @property
    def document(self) -> bytes:
        """The graph as it is stored."""
        known = self._document
        if known is None:  # each start on Temporal sends it, and an import need not make it
            known = encode(graph_to_json(self.graph))
            object.__setattr__(self, "_document", known)
        return known

    @property
    def fingerprint(self) -> str:
        """Hash of the stored graph."""
        return fingerprint_of(self.document)

    def clone(self, *, id: str) -> CommittedWorkflow[In_contra, Out_co]:
        """Return the same workflow under another id (rule 1.6).

        Raises:
            DefinitionError: The id has characters that paths cannot have.
        """
        return cast("CommittedWorkflow[In_contra, Out_co]", self._recommit(check_id(id, "workflow")))

    async def create_run(
        self: CommittedWorkflow[In, Out], *, run_id: str | None = None, resource_id: str | None = None
    ) -> Run[In, Out]:
        """Return a run that may be started, in the app entered innermost here, else in the only open one.

        Nothing is recorded yet. Ids are UUIDs of version 7 unless given.

        Raises:
            UnattachedWorkflowError: No open app can be found, or it does not know this workflow.
            InputError: The run id or resource id is not a usable text.
        """
        return await find_host(self.id).create_run(self, run_id=run_id, resource_id=resource_id)

    async def start_many(self, items: Sequence[Mapping[str, object]]) -> list[str]:
        """Start many runs in few transactions and return their ids in order; see `Outlast.start_many`.

        Raises:
            UnattachedWorkflowError: No open app can be found, or it does not know this workflow.
            InputError: Something does not fit; names each item and path. Nothing was recorded.
            RunExistsError: One of the run ids was started before.
            IdempotencyConflictError: A key stands for a run with other input. The other runs are recorded.
            StoreUnavailableError: It is not known which are recorded; starting the same run ids again is safe.
        """
        return await find_host(self.id).start_many(self, items)

    async def get_workflow_run_execution_result(self: CommittedWorkflow[In, Out], run_id: str) -> RunResult[Out] | None:
        """Return what is known of a run of this workflow at this moment, running ones too.

        None for an id that is unknown, no longer kept, or of another workflow.

        Raises:
            UnattachedWorkflowError: No open app can be found.
            StoreUnavailableError: The store did not answer; try again.
        """
        return await find_host(self.id).find_result(self, run_id)

    async def get_workflow_run_by_id(
        self: CommittedWorkflow[In, Out], run_id: str, *, fields: Sequence[Field] | None = None
    ) -> RunDetails[Out] | None:
        """Return a run of this workflow as it is known now, with its dates and tags.

        None for an id that is unknown, no longer kept, or of another workflow.

        Args:
            run_id: Id of the run.
            fields: Only these parts besides what lists show: `input`, `steps`, `result`, `error`, `suspended`,
                `state`. With an empty list the journal is not read. None for all; then the state is there if the run
                was started with `OutputOptions(include_state=True)`.

        Raises:
            UnattachedWorkflowError: No open app can be found.
            InputError: `fields` names something that is not there.
            StoreUnavailableError: The store did not answer; try again.
        """
        return await find_host(self.id).find_details(self, run_id, fields)

    async def delete_workflow_run_by_id(self, run_id: str) -> None:
        """Delete a run of this workflow that has ended: its journal, its tags, everything but its id.

        From then on reads give None, and the id cannot be started again for the `identity_ttl` of the app.

        Raises:
            RunNotFoundError: No kept run of this workflow has this id.
            RunStateError: The run has not ended, so cancel it first; or its hooks are not done, so wait for them.
            UnattachedWorkflowError: No open app can be found.
            StoreUnavailableError: The store did not answer; try again.
        """
        await find_host(self.id).delete_found(self, run_id)

    async def list_workflow_runs(
        self,
        *,
        status: StatusFilter = None,
        resource_id: str | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        tags: Sequence[str] = (),
        search: str | None = None,
        after: str | None = None,
        per_page: int = 50,
    ) -> RunPage:
        """Return a page of the runs of this workflow, those recorded last first; see `Outlast.list_runs`.

        Raises:
            UnattachedWorkflowError: No open app can be found.
            InputError: A condition cannot be meant; names it.
            StoreUnavailableError: The store did not answer; try again.
        """
        return await find_host(self.id).list_runs(
            self.id,
            status=status,
            resource_id=resource_id,
            from_date=from_date,
            to_date=to_date,
            tags=tags,
            search=search,
            after=after,
            per_page=per_page,
        )

    def __repr__(self) -> str:
        """Show id and types."""
        return f"CommittedWorkflow({self.id!r}: {self.input.name} -> {self.output.name})"


class Unfinished:
    """What is not committed yet."""

    __slots__ = ()


_STARTS = ("start", "start_async", "stream")
point_elsewhere(
    Unfinished,
    (*public_names(CommittedWorkflow), *_STARTS),
    "the workflow is not committed; call .commit() and use what it returns",
)
point_elsewhere(
    CommittedWorkflow, _STARTS, "runs are started: run = await workflow.create_run(), and then run.{name}(...)"
)
