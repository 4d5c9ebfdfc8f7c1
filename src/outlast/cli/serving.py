"""Serving an app at the terminal. Loaded only by commands that serve: it needs the extra `server`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.signals import stop_signals
from outlast.errors import ConfigurationError
from outlast.server import Scope, ServerOptions, Token, load_tokens, serve
from outlast.server.guard import is_loopback

__all__ = ["serve_until_stopped"]


async def serve_until_stopped(
    app: Outlast,
    *,
    host: str,
    port: int,
    token_file: str | None,
    secret: str | None,
    allowed_hosts: Iterable[str],
    allowed_origins: Iterable[str],
    on_ready: Callable[[str], None],
) -> None:
    """Open an app and serve it until SIGINT or SIGTERM, then let its steps in flight end; a second signal ends at once.

    Args:
        app: The app, not entered.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        token_file: A TOML file of tokens.
        secret: The secret of one token that may do everything.
        allowed_hosts: See `ServerOptions`.
        allowed_origins: See `ServerOptions`.
        on_ready: Called with the address once it listens.

    Raises:
        Complaint: It cannot listen there.
        ConfigurationError: Others than this machine could call without a token, or a token is wrong.
        StoreError: The store cannot be used.
    """
    tokens = [] if token_file is None else load_tokens(token_file)
    if secret is not None:
        tokens.append(Token.of(secret, name="OUTLAST_TOKEN", scope=Scope.ADMIN))
    if not tokens and not is_loopback(host):
        raise Complaint(
            f"serving on {host} without tokens lets anybody in",
            hint="make one: outlast token new NAME, and serve with --tokens tokens.toml; or listen on 127.0.0.1",
            exit=Exit.UNAVAILABLE,
            code="configuration",
        )
    options = ServerOptions(allowed_hosts=tuple(allowed_hosts), allowed_origins=tuple(allowed_origins))
    with suppress(ConfigurationError):  # one with metrics=False shows only what the server did
        app.expose_metrics()
    # The server catches the first signal and hands it on when it has stopped; by then only the drain is left.
    with stop_signals(lambda: None):
        async with app:
            try:
                await serve(app, host=host, port=port, tokens=tokens, options=options, on_ready=on_ready)
            except SystemExit:  # uvicorn's way to say so; why is in the log
                raise Complaint(
                    f"cannot listen on {host}:{port}",
                    hint="choose another port: --port 4112, or end what listens there",
                    exit=Exit.UNAVAILABLE,
                    code="cannot-listen",
                ) from None
