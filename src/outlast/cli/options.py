"""Options that several commands share, each with one spelling and one meaning."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

__all__ = ["AppArgument", "Context", "Host", "LogLevel", "Port", "RunId", "Timeout", "Wait"]

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait until the run ends or rests; the exit code tells how.")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="Wait at most so long, as 30s or 5m; the run goes on.")
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="JSON", help="Request context: an object that all steps can read.")
]
AppArgument = Annotated[
    str,
    typer.Argument(
        metavar="APP", envvar="OUTLAST_APP", help="The app: module:app, or a path to a file.", show_default=False
    ),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], typer.Option("--log-level", help="What to log to stderr.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", "-p", min=0, max=65535, metavar="N", help="Port; 0 for any that is free.")]
