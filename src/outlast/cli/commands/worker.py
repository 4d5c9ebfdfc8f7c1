"""`outlast worker`: a process that drives runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.extras import require_extra
from outlast.cli.options import AppArgument, LogLevel
from outlast.cli.place import Place, check_shared
from outlast.cli.screen import Screen
from outlast.cli.signals import stop_signals
from outlast.cli.values import parse_span
from outlast.cli.workplace import log_to_stderr, tell

__all__ = ["worker"]


async def worker(  # noqa: PLR0913 - one parameter for each option
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
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", min=0, max=65_535, metavar="PORT", help="Show its numbers to Prometheus there."),
    ] = None,
    metrics_host: Annotated[
        str,
        typer.Option("--metrics-host", metavar="ADDRESS", help="Where that port is; nobody is asked for a token."),
    ] = "127.0.0.1",
    log_level: LogLevel = "info",
) -> None:
    """Drive runs until told to stop.

    The first SIGTERM or Ctrl-C lets steps in flight end and leaves the rest to other workers; the second one ends the
    process at once, and nothing is lost by that either.
    """
    log_to_stderr(log_level)
    loaded = Place(app=app, store=store).load(purpose="a worker")
    check_shared(loaded)
    opened = loaded.with_options(
        worker=True,
        max_steps=concurrency,
        max_runs=max_runs,
        drain=None if drain is None else parse_span(drain, "--drain"),
    )
    with _shown(opened, metrics_port, metrics_host) as metrics:
        await _work(screen, opened, until_idle=until_idle, details={} if metrics is None else {"metrics": metrics})


@contextmanager
def _shown(app: Outlast, port: int | None, host: str) -> Generator[str | None]:
    """Show the numbers of an app to Prometheus, and yield where; None if nobody asked for it.

    Raises:
        Complaint: It cannot listen there, or the extra is not installed.
    """
    if port is None:
        yield None
        return
    require_extra("prometheus", purpose="--metrics-port")
    try:
        exposed = app.expose_metrics().serve(port, host=host)
    except OSError as error:
        raise Complaint(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another port: --metrics-port 9465, or end what listens there",
            exit=Exit.UNAVAILABLE,
            code="cannot-listen",
        ) from None
    try:
        yield exposed.url
    finally:
        exposed.stop()


async def _work(screen: Screen, app: Outlast, *, until_idle: bool, details: Mapping[str, str]) -> None:
    stop = asyncio.Event()

    def ask_to_stop() -> None:
        stop.set()
        tell(screen, "draining", "steps in flight may end; a second signal ends the process at once")

    with stop_signals(ask_to_stop):
        async with app:
            workflows = ", ".join(app.workflows) or "none"
            where = "" if app.location is None else f" on {app.location}"
            shown = f", metrics at {details['metrics']}" if details else ""
            tell(screen, "ready", f"process {os.getpid()} drives {workflows}{where}{shown}", **details)
            waits: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait())]
            if until_idle:
                waits.append(asyncio.create_task(app.until_idle()))
            _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
    tell(screen, "ended")
