"""The ASGI app: what is protected by what, and which routes there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from outlast.app import Outlast
from outlast.server.auth import ANYBODY, Authenticate, Principal, Scope, Token, Tokens
from outlast.server.guard import Guard
from outlast.server.options import ServerOptions
from outlast.server.problem import answer_problem
from outlast.server.routes import (
    all_runs,
    capabilities,
    driving,
    repairing,
    runs,
    scheduling,
    starting,
    streams,
    workflows,
)
from outlast.server.routes.direct import DirectRoute, Shortcut
from outlast.server.routes.health import health_routes
from outlast.server.routes.route import unauthenticated
from outlast.server.service import Limits, Service

__all__ = ["create_app"]

_Endpoint: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

_PARTS = (capabilities, workflows, starting, driving, repairing, streams, runs, all_runs, scheduling)
# Not `include_router`: it would work out again for each app, with its first request, what every endpoint takes.
_ROUTES = [route for part in _PARTS for route in part.router.routes]
_DESCRIPTION = """
Start, resume, cancel and read durable workflow runs.

Errors are `{"error", "code"}` with `issues` where a request has the wrong shape and a `hint` where there is one.
A request with a body says `Content-Type: application/json`.
"""


def create_app(
    outlast: Outlast,
    *,
    tokens: Iterable[Token] = (),
    authenticate: Authenticate | None = None,
    options: ServerOptions | None = None,
) -> Starlette:
    """Return an ASGI app that serves an app over HTTP; it can be mounted in another one, under any path.

    Run by itself, it enters `outlast` when it starts and leaves it when it stops. Mounted, or with an app that is open
    already, that is left to whoever mounts it.

    Without `tokens` and `authenticate` it serves only requests that name this machine's loopback as their host.

    Args:
        outlast: The app with the workflows.
        tokens: Who may do what.
        authenticate: Finds out who asks in some other way, instead of `tokens`.
        options: How it behaves.
    """
    options = options or ServerOptions()
    known = list(tokens)
    asks = bool(known) or authenticate is not None
    limits = Limits(
        answer=options.answer_timeout,
        poll=options.poll_timeout,
        start=options.start_within,
        most_streams=options.max_streams,
    )
    service = Service(outlast, limits=limits)
    find = authenticate or (Tokens(known) if known else _anybody)
    api = _make_api(service, find, options, asks_for_tokens=asks)
    guard = Middleware(
        Guard, asks_for_tokens=asks, allowed_hosts=options.allowed_hosts, allowed_origins=options.allowed_origins
    )
    own = [*health_routes(service, find), Route("/swagger-ui", _swagger_ui(options))]
    mount = Mount(options.prefix, api)
    routes = [mount, *own] if options.prefix else [*own, mount]  # without a prefix it would take all paths
    app = Starlette(
        routes=routes, middleware=[guard], exception_handlers={HTTPException: _plain}, lifespan=_lifespan(service)
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def _make_api(service: Service, find: Authenticate, options: ServerOptions, *, asks_for_tokens: bool) -> ASGIApp:
    api = FastAPI(
        title="Outlast",
        description=_DESCRIPTION,
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _plain},
        routes=_ROUTES,
    )
    api.state.service = service
    api.state.authenticate = find
    api.state.asks_for_tokens = asks_for_tokens
    api.state.max_body_bytes = options.max_body_bytes
    api.add_route("/openapi.json", _openapi(api, options.prefix), include_in_schema=False)
    return Shortcut(api, [each for each in starting.router.routes if isinstance(each, DirectRoute)])


def _openapi(api: FastAPI, prefix: str) -> _Endpoint:
    @cache
    def describe() -> dict[str, Any]:
        return _without_422(api.openapi())

    async def openapi(request: Request) -> Response:
        """Describe the API, to those who may use it."""
        principal: Principal | None = await request.app.state.authenticate(request)
        if principal is None or not principal.scope.includes(Scope.READ):
            return answer_problem(unauthenticated())
        servers = [{"url": request.scope.get("root_path", "") or prefix or "/"}]
        return JSONResponse({**describe(), "servers": servers})

    return openapi


def _without_422(described: dict[str, Any]) -> dict[str, Any]:
    """Take out what FastAPI would answer by itself to a wrong shape: here that is a 400."""
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    return described


def _swagger_ui(options: ServerOptions) -> _Endpoint:
    async def swagger_ui(request: Request) -> Response:
        """Show the description in a browser."""
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(openapi_url=f"{root}{options.prefix}/openapi.json", title="Outlast")

    return swagger_ui


async def _plain(_request: Request, _error: Exception) -> Response:
    """Answer an unknown path or method as the reference does."""
    return PlainTextResponse("404 Not Found", 404)


async def _anybody(_connection: HTTPConnection) -> Principal | None:
    return ANYBODY


def _lifespan(service: Service) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            if not service.outlast.is_open:
                await stack.enter_async_context(service.outlast)
            try:
                yield
            finally:
                service.stopping.set()

    return lifespan
