"""The whole command line."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from outlast.cli.command import command
from outlast.cli.commands import db, run, schedule, token, workflow
from outlast.cli.commands.check import check
from outlast.cli.commands.dev import dev
from outlast.cli.commands.new import new
from outlast.cli.commands.serve import serve
from outlast.cli.commands.worker import worker
from outlast.cli.usage import Program

__all__ = ["app"]

app = typer.Typer(cls=Program, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if is_asked:
        typer.echo(version("outlast"))
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Durable background workflows: run workers, look at runs, keep the store in order."""


command(app, "new")(new)
command(app, "dev")(dev)
command(app, "serve")(serve)
command(app, "worker")(worker)
command(app, "check")(check)
app.add_typer(run.group, name="run")
app.add_typer(workflow.group, name="workflow")
app.add_typer(schedule.group, name="schedule")
app.add_typer(token.group, name="token")
app.add_typer(db.group, name="db")
