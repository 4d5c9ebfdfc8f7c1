"""`outlast check`: what a deploy would mean to the runs in flight."""

from __future__ import annotations

from typing import Annotated

import typer

from outlast.cli.exits import Exit
from outlast.cli.options import AppArgument
from outlast.cli.place import Place, existing
from outlast.cli.screen import Screen

__all__ = ["check"]


async def check(
    screen: Screen,
    app: AppArgument,
    *,
    store: Annotated[
        str | None, typer.Option("--store", "-s", metavar="FILE", envvar="OUTLAST_STORE", help="Instead of the app's.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Changes count too, not only what would stop runs.")] = False,
) -> Exit:
    """Compare an app with the runs in flight, before a deploy.

    Runs keep the graph that they were started on; they need its functions. The exit code is 8 if runs would wait.
    """
    place = Place(app=app, store=store)
    location = place.load(purpose="a check").location
    if location is not None:
        existing(location, hint="name the file of the runs: --store FILE")
    async with place.open() as opened:
        findings = await opened.check()
    counted = [finding for finding in findings if strict or finding.kind.is_blocking]
    if screen.is_json:
        screen.json(
            {
                "findings": [
                    {
                        "kind": each.kind.value,
                        "isBlocking": each.kind.is_blocking,
                        "workflowId": each.workflow_id,
                        "runs": each.runs,
                        "path": each.path,
                        "reference": each.reference,
                    }
                    for each in findings
                ]
            }
        )
    else:
        for each in findings:
            screen.say(str(each), style="red" if each.kind.is_blocking else None)
        if not findings:
            screen.note("no run in flight would notice")
    return Exit.FINDINGS if counted else Exit.DONE
