"""What all routes share: how bodies are read, how errors are answered, who may come in."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from outlast.errors import OutlastError, Problem
from outlast.server.auth import Principal, Scope
from outlast.server.problem import Refusal, answer_problem, problem_of
from outlast.server.service import Service
from outlast.server.wire.shape import decode_body, invalid_request
from outlast.values import InvalidValueError, JsonValue, encode

__all__ = [
    "NOT_JSON",
    "Admin",
    "AnyRunId",
    "ContextQuery",
    "Driver",
    "JsonRequest",
    "JsonRoute",
    "Reader",
    "RunId",
    "ServiceOf",
    "WorkflowId",
    "answer",
    "unauthenticated",
]

BODY_SECONDS: Final = 30.0
"""How long a body may take at least; one that comes at a fair pace has longer."""
_LEAST_BYTES_PER_S: Final = 16_384
_log = logging.getLogger("outlast.server")

NOT_JSON: Final = Problem("body", "it is not JSON, or nested too deeply, or holds half a surrogate pair")
"""What is wrong with a body that cannot be read."""
_INTERNAL: Final = Refusal(
    500,
    "Internal Server Error",
    code="internal",
    hint="the server's log says more, under the id in the header x-request-id",
)


class JsonRequest(Request):
    """A request whose body is read only if it is JSON, and never beyond the limit."""

    async def body(self) -> bytes:
        """Return the body, or nothing if it is not declared to be JSON."""
        if not hasattr(self, "_body"):
            if self.state.principal is None:
                raise unauthenticated()  # nobody makes this process read megabytes who may not
            is_json = "application/json" in self.headers.get("content-type", "").lower()
            self._body = await self._read() if is_json else b""
        return self._body

    async def _read(self) -> bytes:
        limit: int = self.app.state.max_body_bytes
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(BODY_SECONDS) as patience:
                return await self._receive_all(limit, patience)
        except TimeoutError:
            raise _too_slow() from None

    async def _receive_all(self, limit: int, patience: asyncio.Timeout) -> bytes:
        parts: list[bytes] = []
        size = 0
        has_more = True
        begun = asyncio.get_running_loop().time()
        # Not `stream()`: a generator costs more than the one piece that nearly always comes.
        while has_more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise invalid_request([Problem("body", "it was cut off")], in_body=True)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            has_more = message.get("more_body", False)
            if size > limit:
                raise _too_large(limit)
            if has_more:
                patience.reschedule(begun + BODY_SECONDS + size / _LEAST_BYTES_PER_S)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def json(self) -> JsonValue:
        """Return the decoded body. As everywhere, NaN and the like are no JSON, and depth is limited."""
        try:
            return decode_body(await self.body())
        except InvalidValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class JsonRoute(APIRoute):
    """A route whose errors are answered in the one form that all have."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler that FastAPI makes."""
        return self.guarded(super().get_route_handler())

    def guarded(
        self, handle: Callable[[JsonRequest], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap a handler: find out who asks, answer errors, count."""

        async def handle_and_count(request: Request) -> Response:
            begun = time.perf_counter()
            response = await handle_or_refuse(request)
            took = time.perf_counter() - begun
            service: Service = request.app.state.service
            service.metrics.note(request.method, self.path_format, response.status_code, took)
            return response

        async def handle_or_refuse(request: Request) -> Response:
            try:
                request.state.principal = await request.app.state.authenticate(request)
                own = request if isinstance(request, JsonRequest) else JsonRequest(request.scope, request.receive)
                return await handle(own)
            except RequestValidationError as error:
                return answer_problem(_invalid(error))
            except Refusal as refusal:
                return answer_problem(refusal)
            except OutlastError as error:
                return answer_problem(problem_of(error) or _fault(request, error))
            except Exception as error:  # noqa: BLE001 - the server's outermost handler: its text must not leak
                return answer_problem(_fault(request, error))

        return handle_and_count


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "Request body too large", code="body-too-large", hint=f"the limit is {limit:,} bytes")


def _too_slow() -> Refusal:
    hint = f"send it within {BODY_SECONDS:.0f} seconds, or faster than {_LEAST_BYTES_PER_S:,} bytes a second"
    # The connection is closed: else the rest of the body would go on trickling in, read by nobody.
    return Refusal(408, "Request body too slow", code="body-too-slow", hint=hint, headers={"connection": "close"})


def _fault(request: Request, error: Exception) -> Refusal:
    """Log a fault of the server. The query is left out: it can hold what callers tell their steps."""
    request_id = getattr(request.state, "request_id", "-")
    path = ascii(request.scope["path"])  # decoded: it can hold what a terminal would obey
    _log.error("request %s (%s %s) failed", request_id, request.method, path, exc_info=error)
    return _INTERNAL


def _invalid(error: RequestValidationError) -> Refusal:
    """Answer what does not have the declared shape. What was sent is not repeated."""
    found = [_issue(each) for each in error.errors()]
    return invalid_request(found, in_body=any(each["loc"][0] == "body" for each in error.errors()))


def _issue(detail: Mapping[str, Any]) -> Problem:
    if detail["type"] == "json_invalid":
        return NOT_JSON
    place = ".".join(str(part) for part in detail["loc"][1:])
    return Problem(place, str(detail["msg"]))


def answer(body: JsonValue) -> Response:
    """Return a successful answer."""
    return Response(encode(body), media_type="application/json")


async def service_of(request: Request) -> Service:  # async: a plain function would cost a thread
    """Return the service of the server app that was asked."""
    service: Service = request.app.state.service
    return service


def unauthenticated() -> Refusal:
    """Return the refusal of somebody who is not known."""
    hint = "send `Authorization: Bearer <token>`"
    return Refusal(401, "Invalid or expired token", code="unauthenticated", hint=hint)


def _require(scope: Scope) -> Callable[[Request], Coroutine[Any, Any, Principal]]:
    async def require(request: Request) -> Principal:
        principal: Principal | None = request.state.principal
        if principal is None:
            raise unauthenticated()
        if not principal.scope.includes(scope):
            text = f"Access denied: this needs a token with scope '{scope}'"
            raise Refusal(403, text, code="scope-too-small")
        return principal

    return require


ServiceOf: TypeAlias = Annotated[Service, Depends(service_of)]
Reader: TypeAlias = Annotated[Principal, Depends(_require(Scope.READ))]
Driver: TypeAlias = Annotated[Principal, Depends(_require(Scope.RUN))]
Admin: TypeAlias = Annotated[Principal, Depends(_require(Scope.ADMIN))]
WorkflowId: TypeAlias = Annotated[str, Path(description="Id of the workflow.")]
AnyRunId: TypeAlias = Annotated[str, Path(description="Id of the run.")]
RunId: TypeAlias = Annotated[str, Query(alias="runId", description="Id of the run.", min_length=1, max_length=200)]
ContextQuery: TypeAlias = Annotated[
    str | None,
    Query(alias="requestContext", description="Entries over those of the body: JSON, or base64 of it."),
]
