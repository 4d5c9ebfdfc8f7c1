"""What an app finds in its store: runs one by one, in pages and as numbers, and what a deploy would mean to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from outlast.checking import Finding, check_graphs
from outlast.core.status import RunStatus
from outlast.engines.base import Engine
from outlast.errors import RunNotFoundError
from outlast.graph.committed import CommittedWorkflow
from outlast.known import id_of, known_workflow
from outlast.reading import Field, RunDetails, RunPage, StatusFilter, find_details, list_runs, make_query
from outlast.results import RunResult, read_result
from outlast.sealing import disclosure_for
from outlast.starting import check_run_id

__all__ = ["Findable"]

In = TypeVar("In")
Out = TypeVar("Out")


class Findable(ABC):
    """The verbs of an app that look runs up, and delete one that was found."""

    _engine: Engine
    _workflows: Mapping[str, CommittedWorkflow[Any, Any]]

    @abstractmethod
    def _check_open(self) -> None:
        """Refuse to go on if the app is not open in this process."""

    async def find_result(self, workflow: CommittedWorkflow[In, Out], run_id: str) -> RunResult[Out] | None:
        """Return what is known of a run of this workflow at this moment, or None if there is none.

        Raises:
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app does not know this workflow, or is not open.
            InputError: `run_id` is no text.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        known_workflow(workflow, self._workflows)
        check_run_id(run_id)
        history = await self._engine.load_history(run_id)
        if history is None or history.workflow_id != workflow.id:
            return None
        disclosure = disclosure_for(self._engine.sealers, workflow.id)
        return read_result(history, workflow.output, disclosure=disclosure)

    async def find_details(
        self, workflow: CommittedWorkflow[In, Out], run_id: str, fields: Sequence[Field] | None
    ) -> RunDetails[Out] | None:
        """Return a run of this workflow with the parts asked for, or None if there is none.

        Raises:
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app does not know this workflow, or is not open.
            InputError: `fields` names something that is not there, or `run_id` is no text.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        known_workflow(workflow, self._workflows)
        check_run_id(run_id)
        return await find_details(self._engine, workflow.id, run_id, workflow.output, fields)

    async def delete_found(self, workflow: CommittedWorkflow[Any, Any], run_id: str) -> None:
        """Delete a run of this workflow that has ended.

        Raises:
            RunNotFoundError: No kept run of this workflow has this id.
            RunStateError: The run has not ended; cancel it first.
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app does not know this workflow, or is not open.
            InputError: `run_id` is no text.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        known_workflow(workflow, self._workflows)
        check_run_id(run_id)
        summary = await self._engine.summarize_run(run_id)
        if summary is None or summary.workflow_id != workflow.id:
            raise RunNotFoundError(run_id)
        await self._engine.delete_run(run_id)

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
        """Return a page of the runs in the store, those recorded last first.

        Args:
            workflow: Only runs of this workflow, or of this workflow id; None for all.
            status: One status or several.
            resource_id: Only runs of this resource.
            from_date: Only runs recorded at this time or later.
            to_date: Only runs recorded at this time or earlier.
            tags: Only runs that have all of these tags.
            search: Only runs whose id, resource id or one of whose tags begins so.
            after: `RunPage.after` of the page before. Pages neither repeat nor leave out a run when others come.
            per_page: How many runs a page has at most, up to 1,000.

        Raises:
            InputError: A condition cannot be meant; names it.
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app is not open, or `workflow` is none.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        query = make_query(
            workflow_id=id_of(workflow),
            status=status,
            resource_id=resource_id,
            from_date=from_date,
            to_date=to_date,
            tags=tags,
            search=search,
            after=after,
            per_page=per_page,
        )
        return await list_runs(self._engine, query)

    async def counts(
        self, workflow: CommittedWorkflow[Any, Any] | str | None = None
    ) -> Mapping[str, Mapping[RunStatus, int]]:
        """Return how many runs of which workflow have which status. What is not there is not named.

        It is exact and looks at every row: half a second for a million runs, off the event loop.

        Raises:
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app is not open, or `workflow` is none.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        counts: dict[str, dict[RunStatus, int]] = {}
        for each in await self._engine.count_runs(id_of(workflow)):
            counts.setdefault(each.workflow_id, {})[each.status] = each.count
        return counts

    async def check(self) -> list[Finding]:
        """Compare the workflows of this app with the graphs of the runs in flight, as before a deploy (rule 12.5).

        A run keeps the graph that it was started on: a deploy changes the bodies of its functions and nothing else.
        Open the app with `worker=False` to ask without driving anything. An empty list means that no run would notice.

        Raises:
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app is not open.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        return check_graphs(await self._engine.list_in_flight(), self._workflows)
