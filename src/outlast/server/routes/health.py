"""For those who keep the server running: they need no token, and learn nothing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from outlast.errors import OutlastError
from outlast.server.service import Service

__all__ = ["health_routes"]


def health_routes(service: Service) -> list[Route]:
    """Return the routes outside the prefix."""

    async def health(_request: Request) -> Response:
        """Say that the process answers."""
        return JSONResponse({"success": True})

    async def ready(_request: Request) -> Response:
        """Say whether requests can be served: the store answers, and the server does not stop."""
        is_ready = not service.stopping.is_set() and await _store_answers(service)
        return JSONResponse({"success": is_ready}, 200 if is_ready else 503)

    return [Route("/health", health), Route("/ready", ready)]


async def _store_answers(service: Service) -> bool:
    try:
        await service.outlast.engine.load_history("")
    except OutlastError:
        return False
    return service.outlast.is_open
