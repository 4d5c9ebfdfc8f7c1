"""Serving with uvicorn: a server that stops in good order."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from types import FrameType

import uvicorn

from outlast.app import Outlast
from outlast.errors import ConfigurationError
from outlast.server.app import create_app
from outlast.server.auth import Authenticate, Token
from outlast.server.connection import Connection
from outlast.server.guard import is_loopback
from outlast.server.options import ServerOptions
from outlast.server.service import Service

__all__ = ["serve"]


class _Server(uvicorn.Server):
    """Tells the service as soon as it is asked to stop: else streams and polls would hold it up."""

    def __init__(self, config: uvicorn.Config, service: Service, on_ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._service = service
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say where."""
        await super().startup(sockets)
        if self._on_ready is not None and self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop on SIGINT and SIGTERM."""
        self._service.stopping.set()
        super().handle_exit(sig, frame)


async def serve(
    outlast: Outlast,
    *,
    host: str = "127.0.0.1",
    port: int = 4111,
    tokens: Iterable[Token] = (),
    authenticate: Authenticate | None = None,
    options: ServerOptions | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve an app until SIGINT or SIGTERM: streams end, requests are answered, runs drain, then it returns.

    Args:
        outlast: The app with the workflows; entered and left by the server unless it is open.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        tokens: Who may do what.
        authenticate: Finds out who asks in some other way.
        options: How it behaves.
        on_ready: Called with the address once it listens.

    Raises:
        ConfigurationError: Others than this machine could call, and nobody would be asked for a token.
        StoreError: The store cannot be used; the message says what to do.
    """
    known = list(tokens)
    if not known and authenticate is None and not is_loopback(host):
        message = f"serving on {host!r} without tokens lets anybody in: pass tokens=, or listen on 127.0.0.1"
        raise ConfigurationError(message)
    app = create_app(outlast, tokens=known, authenticate=authenticate, options=options)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        # Paths of requests can hold what callers put into a query; our own log lines leave it out.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        log_config=None,
    )
    await _Server(config, app.state.service, on_ready).serve()
