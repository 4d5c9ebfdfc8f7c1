"""Schedules that a workflow declares, checked against its types (rule 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from outlast.errors import DefinitionError
from outlast.graph.schema import Schema
from outlast.scheduling.plan import Plan, plan_of
from outlast.scheduling.schedule import Schedule
from outlast.values import InvalidValueError, JsonValue, decode

if TYPE_CHECKING:
    from outlast.graph.committed import CommittedWorkflow

__all__ = ["DECLARED", "check_schedules", "declared_id", "declared_plan", "listed_schedules"]

DECLARED: Final = "wf_"
"""How the ids of schedules begin that stand in code."""


def declared_id(workflow_id: str, schedule: Schedule) -> str:
    """Return the id of a schedule that stands in the code of a workflow."""
    return f"{DECLARED}{workflow_id}__{schedule.id}" if schedule.id else f"{DECLARED}{workflow_id}"


def listed_schedules(workflow_id: str, given: object) -> tuple[Schedule, ...]:
    """Return the schedules of a workflow, given as one or several.

    Raises:
        DefinitionError: One of them is none, or several have the same id.
    """
    if given is None:
        return ()
    schedules: list[object] = [given]
    if isinstance(given, Sequence) and not isinstance(given, str):
        schedules = list(cast("Sequence[object]", given))
    seen: set[str] = set()
    known: list[Schedule] = []
    for each in schedules:
        if not isinstance(each, Schedule):
            message = f"workflow '{workflow_id}' has schedule={each!r:.60}; give a Schedule, or a list of them"
            raise DefinitionError(message)
        if each.id in seen or (not each.id and len(schedules) > 1):
            message = f"workflow '{workflow_id}' has several schedules; give each an id of its own: Schedule(id=...)"
            raise DefinitionError(message)
        seen.add(each.id)
        known.append(each)
    return tuple(known)


def check_schedules(workflow: CommittedWorkflow[Any, Any]) -> None:
    """Refuse schedules whose values do not fit the types of the workflow.

    Raises:
        DefinitionError: The message names the schedule, the value and each path.
    """
    for schedule in workflow.schedules:
        declared_plan(workflow, schedule)


def declared_plan(workflow: CommittedWorkflow[Any, Any], schedule: Schedule) -> Plan:
    """Return what is kept of a schedule that the workflow declares.

    Raises:
        DefinitionError: A value does not fit the types of the workflow.
    """
    name = f"schedule '{schedule.id}'" if schedule.id else "the schedule"
    subject = f"workflow '{workflow.id}': {name}"
    state: JsonValue = None
    if schedule.initial_state is not None:
        _refuse_sensitive(workflow.state.schema, subject, "initial_state")
        try:
            state = decode(workflow.state.validate_initial(schedule.initial_state))
        except InvalidValueError as error:
            raise DefinitionError(f"{subject} has an initial_state that does not fit: {error}") from None
    context = _encoded(workflow.request_context, schedule.request_context, subject, "request_context")
    return plan_of(
        schedule,
        input=_encoded(workflow.input, schedule.input_data, subject, "input_data"),
        state=state,
        request_context=cast("Mapping[str, JsonValue]", context),
    )


def _refuse_sensitive(schema: Schema[Any], subject: str, name: str) -> None:
    if schema.is_sensitive:
        raise DefinitionError(
            f"{subject} has {name} of {schema.name}, which has sensitive parts, and code is no place for them; "
            f"make the schedule at run time: app.schedules.create(...)"
        )


def _encoded(schema: Schema[Any], value: object, subject: str, name: str) -> JsonValue:
    if name == "request_context" and value is None:
        value = {}
    _refuse_sensitive(schema, subject, name)
    try:
        encoded = decode(schema.encode(value))
    except InvalidValueError as error:
        raise DefinitionError(f"{subject} has {name} that does not fit {schema.name}: {error}") from None
    if name == "request_context" and not isinstance(encoded, dict):
        raise DefinitionError(f"{subject} has a request_context that is no object")
    return encoded
