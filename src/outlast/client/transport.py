"""Requests and answers: what is tried again, and which error an answer is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from types import TracebackType
from typing import Final, Self, cast

import httpx

from outlast import errors
from outlast.errors import ClientError, InputError, OutlastError, Problem, ServerUnavailableError, code_of
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = ["Transport"]

_ATTEMPTS: Final = 4
_MOST_CONNECTIONS: Final = 2_000
_FIRST_PAUSE: Final = 0.1
_PATIENCE: Final = 15.0
"""Seconds to wait for an answer beyond those that the server was asked to wait."""
_SILENCE: Final = 45.0
"""Seconds without a sign of life after which a stream is taken for broken; the server gives one every 15."""
_CLASSES: Final[Mapping[str, type[OutlastError]]] = {
    code_of(each): each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, OutlastError) and not each.__name__.startswith("_")
}
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_NOW: Final = frozenset({502, 503, 504})
_TOO_MANY: Final = 429


class Transport:
    """One connection pool to one server."""

    def __init__(self, url: str, *, token: str | None, transport: httpx.AsyncBaseTransport | None) -> None:
        headers = {"accept": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
        # A stream holds its connection for as long as it is read: the default of 100 would let the next one wait.
        limits = httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, transport=transport, limits=limits, follow_redirects=False
        )
        self._random = Random()  # noqa: S311 - it spreads repetitions, and hides nothing

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | list[str]] | None = None,
        body: Mapping[str, JsonValue] | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
        is_repeatable: bool,
    ) -> dict[str, JsonValue]:
        """Ask the server, again if need be and if that does no harm, and return the answer.

        Args:
            method: The HTTP method.
            path: The path after the URL of the server.
            query: The query.
            body: The body, as JSON.
            headers: More headers.
            wait: How many seconds the server is asked to wait.
            is_repeatable: Whether asking twice is as good as asking once. If not, a request is repeated only when it
                was certainly not sent.

        Raises:
            OutlastError: What the server says; a `ClientError` if no other error stands for it.
            ServerUnavailableError: It did not answer, or cannot now.
        """
        request = self._http.build_request(
            method,
            path,
            params=query,
            content=None if body is None else encode(dict(body)),
            headers={**(headers or {}), **({} if body is None else {"content-type": "application/json"})},
            timeout=httpx.Timeout(_PATIENCE + wait, connect=_PATIENCE),
        )
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = await self._http.send(request)
            except httpx.HTTPError as error:
                is_sent = not isinstance(error, _NOT_SENT)
                if attempt == _ATTEMPTS or (is_sent and not is_repeatable):
                    message = f"{request.url.copy_with(query=None)} did not answer: {type(error).__name__} {error}"
                    raise ServerUnavailableError(0, "", message.strip(), "") from error
            else:
                may_repeat = response.status_code == _TOO_MANY or (is_repeatable and response.status_code in _NOT_NOW)
                if attempt == _ATTEMPTS or not may_repeat:
                    return _read(response)
            await self._pause(attempt)
        raise AssertionError("the last attempt returns or raises")

    async def events(self, path: str, *, query: Mapping[str, str | list[str]]) -> AsyncIterator[bytes]:
        """Yield the data of Server-Sent Events until the server ends the stream, or the connection breaks.

        Raises:
            OutlastError: What the server says instead.
            ServerUnavailableError: It did not answer, several times.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            request = self._http.build_request(
                "GET",
                path,
                params=query,
                headers={"accept": "text/event-stream"},
                timeout=httpx.Timeout(_SILENCE, connect=_PATIENCE),
            )
            has_begun = False
            try:
                response = await self._http.send(request, stream=True)
                try:
                    if not response.is_success:
                        await response.aread()
                        _read(response)
                    async for line in response.aiter_lines():
                        has_begun = True
                        if line.startswith("data: "):
                            yield line.removeprefix("data: ").encode()
                finally:
                    await response.aclose()
            except httpx.HTTPError as error:
                if not has_begun and attempt == _ATTEMPTS:
                    message = f"{request.url.copy_with(query=None)} did not answer: {type(error).__name__} {error}"
                    raise ServerUnavailableError(0, "", message.strip(), "") from error
            else:
                return
            if has_begun:
                return
            await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        await asyncio.sleep(_FIRST_PAUSE * 2 ** (attempt - 1) * self._random.uniform(0.5, 1.5))


def _read(response: httpx.Response) -> dict[str, JsonValue]:
    """Return the body of an answer, or raise what it says."""
    try:
        body = decode(response.content)
    except InvalidValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    raise _error_of(response, body if isinstance(body, dict) else {})


def _error_of(response: httpx.Response, body: dict[str, JsonValue]) -> OutlastError:
    code, text, hint = (body.get(key) for key in ("code", "error", "hint"))
    known = _CLASSES.get(code) if isinstance(code, str) else None
    if known is not None:
        return _rebuilt(known, body)
    message = str(text or f"{response.request.url.copy_with(query=None)} answers what no Outlast server answers")
    if hint:
        message += f"; {hint}"
    if body.get("issues"):
        message += f": {encode(body['issues']).decode()}"
    kind = ServerUnavailableError if response.status_code in _NOT_NOW else ClientError
    request_id = response.headers.get("x-request-id", "")
    return kind(response.status_code, str(code or ""), message, request_id)


def _rebuilt(kind: type[OutlastError], body: dict[str, JsonValue]) -> OutlastError:
    """Make the error again that was raised on the other side."""
    given = body.get("details")
    arguments = given if isinstance(given, list) else [str(body.get("error", ""))]
    if kind is InputError:
        subject, problems = str(arguments[0]), cast("list[list[str]]", arguments[1])
        return InputError(subject, tuple(Problem(path, reason) for path, reason in problems))
    try:
        return kind(*arguments)
    except TypeError:  # a newer server knows more of this error
        return ClientError(0, code_of(kind), str(body.get("error", "")), "")
