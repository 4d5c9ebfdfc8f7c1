"""`outlast serve`: the HTTP API, and by default a worker beside it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from outlast.cli.extras import require_extra
from outlast.cli.options import AppArgument, Host, LogLevel, Port
from outlast.cli.place import Place, check_shared
from outlast.cli.screen import Screen
from outlast.cli.signals import stop_with_stdin
from outlast.cli.values import parse_span
from outlast.cli.workplace import log_to_stderr, tell

__all__ = ["serve"]


async def serve(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    app: AppArgument,
    *,
    host: Host = "127.0.0.1",
    port: Port = 4111,
    store: Annotated[
        str | None, typer.Option("--store", "-s", metavar="FILE", envvar="OUTLAST_STORE", help="Instead of the app's.")
    ] = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Whether this process drives runs, too.")] = True,
    tokens: Annotated[
        str | None, typer.Option("--tokens", metavar="FILE", help="TOML file of tokens that callers need.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="SECRET",
            envvar="OUTLAST_TOKEN",
            help="A token that may do everything.",
            show_envvar=True,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", metavar="NAME", help="Serve under this name; repeatable.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", metavar="URL", help="Pages from there may call; repeatable.")
    ] = None,
    drain: Annotated[
        str | None, typer.Option("--drain", metavar="TIME", help="How long steps in flight may take to end.")
    ] = None,
    log_level: LogLevel = "info",
    until_stdin_ends: Annotated[
        bool, typer.Option("--until-stdin-ends", help="End, as by SIGTERM, with the process that writes to stdin.")
    ] = False,
) -> None:
    """Serve the HTTP API of an app until told to stop, and drive its runs.

    Without tokens it listens on this machine only. The first SIGTERM or Ctrl-C ends in good order, the second at once.
    """
    require_extra("server", purpose="serving")
    from outlast.cli.serving import serve_until_stopped  # noqa: PLC0415 - only if the extra is there

    if until_stdin_ends:
        stop_with_stdin()
    log_to_stderr(log_level)
    loaded = Place(app=app, store=store).load(purpose="serving")
    if not worker:
        check_shared(loaded)
    await serve_until_stopped(
        loaded.with_options(worker=worker, drain=None if drain is None else parse_span(drain, "--drain")),
        host=host,
        port=port,
        token_file=tokens,
        secret=token,
        allowed_hosts=allow_host or (),
        allowed_origins=allow_origin or (),
        on_ready=lambda url: tell(screen, "ready", f"process {os.getpid()} serves {url}", url=url),
    )
    tell(screen, "ended")
