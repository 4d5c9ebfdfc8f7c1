"""Which workflows an app knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from outlast.errors import DefinitionError, InputError, Problem, UnattachedWorkflowError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.scheduled import declared_id
from outlast.graph.workflow import Workflow
from outlast.shown import listed, shown
from outlast.values import is_text

__all__ = ["id_of", "known_workflow", "known_workflows"]


def known_workflows(workflows: object) -> dict[str, CommittedWorkflow[Any, Any]]:
    """Return the workflows of an app by their ids.

    Raises:
        DefinitionError: It is not a list of committed workflows, or two of them or of their schedules have the same id.
    """
    known: dict[str, CommittedWorkflow[Any, Any]] = {}
    if not isinstance(workflows, Sequence) or isinstance(workflows, str):
        message = f"Outlast takes a list of workflows, as Outlast([workflow]), not {workflows!r}"
        raise DefinitionError(message)
    for workflow in cast("Sequence[CommittedWorkflow[Any, Any]]", workflows):
        _check_committed(workflow)
        if known.setdefault(workflow.id, workflow) is not workflow:
            message = f"two workflows are called '{workflow.id}'; give one another id with .clone(id=...)"
            raise DefinitionError(message)
    _check_schedule_ids(known)
    return known


def known_workflow(
    workflow: CommittedWorkflow[Any, Any] | str, known: Mapping[str, CommittedWorkflow[Any, Any]]
) -> CommittedWorkflow[Any, Any]:
    """Return the workflow of an app that is meant: by the committed object itself, or by its id.

    Raises:
        UnattachedWorkflowError: The app does not know it; or it is not committed.
    """
    if isinstance(workflow, str):
        if (found := known.get(workflow)) is not None:
            return found
        workflow_id, remedy = workflow, "add it: Outlast([...])"
    else:
        _check_committed(workflow)
        workflow_id = workflow.id
        if known.get(workflow_id) is workflow:
            return workflow
        remedy = f"add it: Outlast([..., {workflow_id}]), and use the committed object itself"
    names = listed([f"'{each}'" for each in known]) or "none"
    message = f"workflow '{shown(workflow_id)}' is not one of this app's ({names}); {remedy}"
    raise UnattachedWorkflowError(message)


def id_of(workflow: CommittedWorkflow[Any, Any] | str | None) -> str | None:
    """Return the id of the workflow whose runs or schedules are looked for; None for those of all.

    Raises:
        UnattachedWorkflowError: It is neither a committed workflow nor an id.
        InputError: It is a text that no id can be.
    """
    if workflow is None:
        return None
    if isinstance(workflow, str):
        if not is_text(workflow):
            raise InputError("workflow", (Problem("", f"needs a text that UTF-8 can hold, not {workflow!r:.60}"),))
        return workflow
    _check_committed(workflow)
    return workflow.id


def _check_schedule_ids(known: Mapping[str, CommittedWorkflow[Any, Any]]) -> None:
    """Refuse schedules of two workflows that would be one: `b` of `a`, and the only one of `a__b`."""
    owners: dict[str, str] = {}
    for workflow in known.values():
        for schedule in workflow.schedules:
            id = declared_id(workflow.id, schedule)
            if owners.setdefault(id, workflow.id) != workflow.id:
                message = (
                    f"schedules of the workflows '{owners[id]}' and '{workflow.id}' would both be called '{id}'; "
                    "give one of them another id: Schedule(id=...)"
                )
                raise DefinitionError(message)


def _check_committed(workflow: object) -> None:
    """Refuse what is not a committed workflow.

    Raises:
        UnattachedWorkflowError: The message says what to use instead.
    """
    if isinstance(workflow, CommittedWorkflow):
        return
    if isinstance(workflow, Workflow):
        message = f"workflow '{workflow.id}' is not committed; call .commit() and use what it returns"
    else:
        message = f"{workflow!r} is not a workflow; use what Workflow(...).then(...).commit() returns"
    raise UnattachedWorkflowError(message)
