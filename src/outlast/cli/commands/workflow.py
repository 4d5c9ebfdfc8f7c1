"""The group `outlast workflow`: what is declared, in the code or in the graphs that runs keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, cast

import typer

from outlast.cli.command import command, make_group
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.place import Place, find_workflow
from outlast.cli.screen import Screen, plain, span
from outlast.cli.tree import draw_tree
from outlast.graph.definition import definition_of, summary_of
from outlast.graph.document import graph_from_json, graph_to_json
from outlast.graph.nodes import Graph
from outlast.graph.render import to_mermaid
from outlast.values import JsonValue

__all__ = ["group"]

group = make_group("Look at workflows.")

WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Id of the workflow.", show_default=False)]


class Form(StrEnum):
    """How a graph is written."""

    TEXT = "text"
    MERMAID = "mermaid"


async def list_workflows(screen: Screen, place: Place) -> None:
    """List the workflows of an app; without an app those that have runs, with how many."""
    if place.app is None or place.is_remote:
        await _list_recorded(screen, place)
        return
    workflows = place.load(purpose="this").workflows.values()
    if screen.is_json:
        screen.json({"workflows": [summary_of(each) for each in workflows]})
        return
    rows = [(each.id, each.input.name, each.output.name, each.graph.root.info.description) for each in workflows]
    screen.table(("WORKFLOW", "INPUT", "OUTPUT", "DESCRIPTION"), rows)


async def _list_recorded(screen: Screen, place: Place) -> None:
    async with place.connect() as app:
        counts = await app.counts()
    if screen.is_json:
        listed: list[JsonValue] = [
            {"workflowId": each, "runs": {status.value: number for status, number in by_status.items()}}
            for each, by_status in counts.items()
        ]
        screen.json({"workflows": listed})
    elif counts:
        rows = [
            (each, ", ".join(f"{number:,} {status}" for status, number in by_status.items()))
            for each, by_status in counts.items()
        ]
        screen.table(("WORKFLOW", "RUNS"), rows)
    else:
        screen.note("the file has no runs; name the app to see its workflows: --app module:app")


async def show(screen: Screen, place: Place, workflow_id: WorkflowId) -> None:
    """Show what a workflow takes and gives, and its steps. Needs the app, or a server that has it."""
    definition = await _find_definition(place, workflow_id)
    if screen.is_json:
        screen.json({**definition})
        return
    names = (("workflow", "workflowId"), ("description", "description"), ("input", "input"), ("output", "output"))
    named = (*names, ("state", "state"), ("context", "requestContext"))
    fields = [(label, str(definition.get(key, ""))) for label, key in named]
    rules = cast("list[Mapping[str, Any]]", definition.get("limits", []))
    screen.fields([*fields, ("limits", "\n".join(_describe_limit(rule) for rule in rules))])
    screen.say()
    screen.draw(draw_tree(graph_from_json(definition["graph"])))
    for name, heading in _HEADINGS.items():
        if name in definition:
            screen.say(f"\n{heading}")
            screen.say(plain(json.dumps(definition[name], indent=2, ensure_ascii=False)))


async def _find_definition(place: Place, workflow_id: str) -> Mapping[str, JsonValue]:
    if not place.is_remote:
        return definition_of(find_workflow(place.load(purpose="this"), workflow_id))
    async with place.server() as client:
        return await client.definition(workflow_id)


_HEADINGS: Final = {
    "inputSchema": "What the input may be:",
    "stateSchema": "What the initial state may be:",
    "requestContextSchema": "What the request context may be:",
}


def _describe_limit(rule: Mapping[str, Any]) -> str:
    """Say what `LimitRule.to_dict` tells, under the name that `why` gives the limit."""
    if (per_ms := rule.get("perMs")) is None:
        return f"{rule['name']}: {rule['limit']:,} at a time"
    burst = f", up to {rule['burst']:,} at once" if rule["burst"] > 1 else ""
    return f"{rule['name']}: {rule['limit']:,} begin in {span(timedelta(milliseconds=per_ms))}{burst}"


async def graph(
    screen: Screen,
    place: Place,
    workflow_id: WorkflowId,
    *,
    form: Annotated[Form, typer.Option("--format", "-f", help="How it is written.")] = Form.TEXT,
) -> None:
    """Draw the graph of a workflow, at a server too; without an app that of its latest run in the file."""
    drawn = await _find_graph(place, workflow_id)
    if screen.is_json:
        screen.json(graph_to_json(drawn))
    elif form is Form.MERMAID:
        screen.say(to_mermaid(drawn).rstrip())
    else:
        screen.draw(draw_tree(drawn))


async def _find_graph(place: Place, workflow_id: str) -> Graph:
    if place.is_remote or place.app is not None:
        return graph_from_json((await _find_definition(place, workflow_id))["graph"])
    async with place.open() as app:
        runs = (await app.list_runs(workflow_id, per_page=1)).runs
        history = await app.engine.load_history(runs[0].run_id) if runs else None
    if history is None:
        raise Complaint(
            f"the file has no run of a workflow '{workflow_id}'",
            hint="see which it has: outlast workflow list; or name the app: --app module:app",
            exit=Exit.NOT_FOUND,
            code="workflow-not-found",
        )
    return history.graph


command(group, "list")(list_workflows)
command(group, "show")(show)
command(group, "graph")(graph)
