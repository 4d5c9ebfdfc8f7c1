"""How to log in: what a web interface asks before anything else."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from outlast.server.routes.route import JsonRoute, answer
from outlast.server.wire.answer import Capabilities

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["auth"])


@router.get("/auth/capabilities", response_model=Capabilities, summary="How to log in")
async def capabilities(request: Request) -> Response:
    """Whether tokens are asked for. Public."""
    return answer({"enabled": bool(request.app.state.asks_for_tokens), "login": None})
