"""For those who keep the server running. Health needs no token, and tells nothing."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from outlast.errors import OutlastError
from outlast.server.auth import Authenticate
from outlast.server.problem import answer_problem
from outlast.server.routes.route import unauthenticated
from outlast.server.service import Service

__all__ = ["health_routes"]

_NOBODYS: Final = "\x7f"
"""No run has this id, because ids are printable; Temporal does not answer when it is asked for an empty one."""


def health_routes(service: Service, authenticate: Authenticate) -> list[Route]:
    """Return the routes outside the prefix."""

    async def health(_request: Request) -> Response:
        """Say that the process answers."""
        return JSONResponse({"success": True})

    async def ready(_request: Request) -> Response:
        """Say whether requests can be served: the store answers, and the server does not stop."""
        is_ready = not service.stopping.is_set() and await _store_answers(service)
        return JSONResponse({"success": is_ready}, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        """Tell numbers, to those who may look at runs."""
        principal = await authenticate(request)
        if principal is None:
            return answer_problem(unauthenticated())
        return PlainTextResponse(service.metrics.render(open_streams=service.streams.open))

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]


async def _store_answers(service: Service) -> bool:
    try:
        await service.outlast.engine.load_history(_NOBODYS)
    except OutlastError:
        return False
    return service.outlast.is_open
