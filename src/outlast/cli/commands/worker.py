"""`outlast worker`: a process that drives runs."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from outlast.app import Outlast
from outlast.cli.options import AppArgument, LogLevel
from outlast.cli.place import Place, check_shared
from outlast.cli.screen import Screen
from outlast.cli.signals import stop_signals
from outlast.cli.values import parse_span
from outlast.cli.workplace import log_to_stderr, tell

__all__ = ["worker"]


async def worker(
    screen: Screen,
    app: AppArgument,
    *,
    store: Annotated[
        str | None, typer.Option("--store", "-s", metavar="FILE", envvar="OUTLAST_STORE", help="Instead of the app's.")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no run is left that could run now.")
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, metavar="N", help="How many steps run at a time.")
    ] = None,
    max_runs: Annotated[
        int | None, typer.Option("--max-runs", min=1, metavar="N", help="How many runs it drives at a time.")
    ] = None,
    drain: Annotated[
        str | None, typer.Option("--drain", metavar="TIME", help="How long steps in flight may take to end.")
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Drive runs until told to stop.

    The first SIGTERM or Ctrl-C lets steps in flight end and leaves the rest to other workers; the second one ends the
    process at once, and nothing is lost by that either.
    """
    log_to_stderr(log_level)
    loaded = Place(app=app, store=store).load(purpose="a worker")
    check_shared(loaded)
    await _work(
        screen,
        loaded.with_options(
            worker=True,
            max_steps=concurrency,
            max_runs=max_runs,
            drain=None if drain is None else parse_span(drain, "--drain"),
        ),
        until_idle=until_idle,
    )


async def _work(screen: Screen, app: Outlast, *, until_idle: bool) -> None:
    stop = asyncio.Event()

    def ask_to_stop() -> None:
        stop.set()
        tell(screen, "draining", "steps in flight may end; a second signal ends the process at once")

    with stop_signals(ask_to_stop):
        async with app:
            workflows = ", ".join(app.workflows) or "none"
            where = "" if app.location is None else f" on {app.location}"
            tell(screen, "ready", f"process {os.getpid()} drives {workflows}{where}")
            waits: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait())]
            if until_idle:
                waits.append(asyncio.create_task(app.until_idle()))
            _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
    tell(screen, "ended")
