"""For those who keep the server running. Health needs no token, and tells nothing."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from outlast.errors import OutlastError
from outlast.server.auth import Authenticate, Principal, Scope
from outlast.server.problem import Refusal, answer_problem
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
        """Tell numbers, to those who may look at all runs."""
        refusal = _refusal(await authenticate(request))
        if refusal is not None:
            return answer_problem(refusal)
        content, content_type = service.metrics.render(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]


def _refusal(principal: Principal | None) -> Refusal | None:
    """Return why somebody does not see the numbers of the whole server."""
    if principal is None or not principal.scope.includes(Scope.READ):
        return unauthenticated()
    if principal.resource_id is not None:
        hint = "use a token that is not bound to a resource"
        return Refusal(403, "Access denied: these numbers are of all runs", code="bound-token", hint=hint)
    return None


async def _store_answers(service: Service) -> bool:
    try:
        await service.outlast.engine.load_history(_NOBODYS)
    except OutlastError:
        return False
    return service.outlast.is_open
