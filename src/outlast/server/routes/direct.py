"""Routes that are asked most, without what the framework does for each request.

FastAPI finds out anew with every request what an endpoint takes; that costs several times the start of a run. A
`DirectRoute` finds it out once. FastAPI still describes it, from the same annotations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias, cast, get_args, get_type_hints

from fastapi import Request, params
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.server.routes.route import NOT_JSON, JsonRequest, JsonRoute
from outlast.server.wire.shape import decode_body, invalid_request, read_shape
from outlast.values import InvalidValueError

__all__ = ["DirectRoute", "Shortcut"]

_Read: TypeAlias = Callable[[JsonRequest], Awaitable[object]]


class DirectRoute(JsonRoute):
    """A route whose endpoint takes the service, who asks, parts of the path, and models of query, headers and body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request, in place of the handler that FastAPI would make."""
        endpoint = cast("Callable[..., Awaitable[Response]]", self.endpoint)
        hints = get_type_hints(endpoint, include_extras=True)
        readers = [(name, _reader_of(name, hint)) for name, hint in hints.items() if name != "return"]

        async def handle(request: JsonRequest) -> Response:
            return await endpoint(**{name: await read(request) for name, read in readers})

        return self.guarded(handle)


class Shortcut:
    """ASGI app: answers the direct routes, and hands everything else on."""

    def __init__(self, app: ASGIApp, routes: Iterable[DirectRoute]) -> None:
        self._app = app
        self._routes = [
            (method, route.path_regex, route.get_route_handler()) for route in routes for method in route.methods or ()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            for method, pattern, answer in self._routes:
                if method == scope["method"] and (found := pattern.match(path)):
                    scope.update(app=self._app, path_params=found.groupdict())
                    response = await answer(JsonRequest(scope, receive))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _reader_of(name: str, hint: Any) -> _Read:  # noqa: ANN401 - an annotation
    """Return what reads one argument of an endpoint from a request."""
    kind, mark = get_args(hint)
    match mark:
        case params.Depends(dependency=function) if function is not None:
            return function
        case params.Path():
            return partial(_read_path, name)
        case params.Query():
            return partial(_read_query, kind)
        case params.Header():
            names = [(field.alias or each, (field.alias or each).lower()) for each, field in kind.model_fields.items()]
            return partial(_read_headers, kind, names)
        case params.Body():
            return partial(_read_body, kind)
        case _:
            message = f"a direct route cannot read {name!r}: {hint!r}"
            raise TypeError(message)


async def _read_path(name: str, request: JsonRequest) -> object:
    return request.path_params[name]


async def _read_query(kind: Any, request: JsonRequest) -> object:  # noqa: ANN401 - a model, as below
    return read_shape(kind, dict(request.query_params)) if request.scope["query_string"] else kind()


async def _read_headers(kind: Any, names: Sequence[tuple[str, str]], request: JsonRequest) -> object:  # noqa: ANN401
    given = {name: request.headers[header] for name, header in names if header in request.headers}
    return read_shape(kind, given) if given else kind()


async def _read_body(kind: Any, request: JsonRequest) -> object:  # noqa: ANN401
    try:
        given = decode_body(raw) if (raw := await request.body()) else None
    except InvalidValueError:
        raise invalid_request([NOT_JSON], in_body=True) from None
    return kind() if given is None else read_shape(kind, given, is_body=True)
