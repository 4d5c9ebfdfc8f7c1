"""`outlast dev`: a server and a worker in one process that loads changes of the code by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from outlast.cli.extras import require_extra
from outlast.cli.options import AppArgument, Host, LogLevel, Port
from outlast.cli.reloading import keep_fresh
from outlast.cli.screen import Screen
from outlast.cli.workplace import tell

__all__ = ["dev"]


async def dev(
    screen: Screen,
    app: AppArgument,
    *,
    host: Host = "127.0.0.1",
    port: Port = 4111,
    store: Annotated[
        str | None, typer.Option("--store", "-s", metavar="FILE", envvar="OUTLAST_STORE", help="Instead of the app's.")
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve an app and drive its runs; start anew whenever a Python file below this directory changes.

    Runs go on over a change as over a crash: a step that was cut off runs again with the new code.
    """
    require_extra("server", purpose="serving")
    command = [sys.executable, "-m", "outlast", "serve", app, "--host", host, "--port", str(port), "--drain", "1s"]
    command += [
        "--until-stdin-ends",
        "--log-level",
        log_level,
        *(["--store", store] if store else []),
        *(["--json"] if screen.is_json else []),
    ]
    await keep_fresh(command, Path.cwd(), say=lambda text: tell(screen, "reloading", text))
