"""A server app in this process, and a client that talks to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from outlast import CommittedWorkflow, Outlast, StepContext, Workflow, step
from outlast.server import ServerOptions, Token, create_app
from outlast.server.service import Service

__all__ = ["APPROVAL", "GREET", "Site", "approve", "greet", "site"]


@step
async def greet(name: str) -> str:
    return f"hello {name}"


@step(resume=bool)
async def approve(text: str, ctx: StepContext) -> str:
    if not ctx.resumed:
        ctx.suspend({"please": text}, label="boss")
    return f"{text}: {'yes' if ctx.resume_data else 'no'}"


GREET = Workflow("greet", input=str, output=str).then(greet).commit()
APPROVAL = Workflow("approval", input=str, output=str).then(greet).then(approve).commit()


@dataclass(frozen=True)
class Site:
    """Both ends."""

    app: Outlast
    client: httpx.AsyncClient
    service: Service

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(f"/api{path}", **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.client.post(f"/api{path}", json={} if body is None else body, **options)

    async def created(self, workflow: CommittedWorkflow[Any, Any], body: Any = None) -> str:
        response = await self.post(f"/workflows/{workflow.id}/create-run", body)
        assert response.status_code == 200, response.text
        return str(response.json()["runId"])

    async def started(self, workflow: CommittedWorkflow[Any, Any], input_data: Any = "ada") -> dict[str, Any]:
        response = await self.post(f"/workflows/{workflow.id}/start-async", {"inputData": input_data})
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        return result


@asynccontextmanager
async def site(
    *workflows: CommittedWorkflow[Any, Any],
    tokens: Iterable[Token] = (),
    options: ServerOptions | None = None,
    store: Any = "memory",
    headers: dict[str, str] | None = None,
    **app_options: Any,
) -> AsyncGenerator[Site, None]:
    """An app with some workflows (`GREET` and `APPROVAL` if none are named), served."""
    async with Outlast(list(workflows) or [GREET, APPROVAL], store=store, **app_options) as app:
        served = create_app(app, tokens=tokens, options=options)
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4111", headers=headers) as client:
            yield Site(app, client, served.state.service)
