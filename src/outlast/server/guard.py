"""Who may call at all: keeps pages of other sites away from a server that asks nobody for a token.

A browser sends what a page tells it to any address, the loopback included. Two headers that pages cannot forge tell
such calls apart: `Host` (a foreign name that was made to point here, DNS rebinding) and `Origin` (a foreign page).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from secrets import token_hex
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outlast.server.problem import Refusal, answer_problem

__all__ = ["Guard", "is_loopback"]

_METHODS: Final = "GET,POST,PUT,PATCH,DELETE,OPTIONS"
_HEADERS: Final = (
    "Content-Type,Authorization,Idempotency-Key,Last-Event-ID,A2A-Version,x-mastra-client-type,x-mastra-dev-playground"
)
_NO_HOST: Final = frozenset("@/?#\\")
"""Signs of other parts of an address: what would be read as a name behind them is none."""
_SAFE: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class Guard:
    """ASGI middleware: checks `Host` and `Origin`, and answers pages that may call."""

    def __init__(
        self, app: ASGIApp, *, asks_for_tokens: bool, allowed_hosts: Iterable[str], allowed_origins: Iterable[str]
    ) -> None:
        self._app = app
        self._asks_for_tokens = asks_for_tokens
        self._hosts = {host.lower() for host in allowed_hosts}
        self._origins = {origin.lower() for origin in allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        refusal = self._judge(headers, origin)
        is_named = origin is not None and origin.lower() in self._origins
        allowed = origin if refusal is None and is_named else None
        request_id = token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        extra = [*_SAFE, (b"x-request-id", request_id.encode()), *_cors(allowed)]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if refusal is not None:
            await answer_problem(refusal)(scope, receive, send_with_headers)
            return
        if allowed is not None and scope["method"] == "OPTIONS":
            await send_with_headers({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send_with_headers)

    def _judge(self, headers: Headers, origin: str | None) -> Refusal | None:
        hosts = headers.getlist("host")
        if not self._asks_for_tokens and not (len(hosts) == 1 and self._is_ours(hosts[0])):
            hint = "without tokens only this machine is served; add the name to allowed_hosts, or use tokens"
            return Refusal(403, "Access denied: unknown host", code="foreign-host", hint=hint)
        if origin is not None and not self._may_call(origin, hosts[0] if hosts else ""):
            hint = "add the origin to allowed_origins"
            return Refusal(403, "Access denied: foreign origin", code="foreign-origin", hint=hint)
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        return name in self._hosts or host.lower() in self._hosts or is_loopback(name)

    def _may_call(self, origin: str, host: str) -> bool:
        """Say whether a page of this origin may call: our own pages and those that are named."""
        if origin.lower() in self._origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower() != ""
        except ValueError:  # no browser sends such a thing
            return False


@lru_cache(maxsize=64)  # asked with each request, mostly of the same few names
def is_loopback(name: str) -> bool:
    """Say whether a host name or address is this machine's loopback."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """Return the name in a `Host` header, without port and brackets; empty if it is none."""
    if not _NO_HOST.isdisjoint(host):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cors(origin: str | None) -> list[tuple[bytes, bytes]]:
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        # Some web interfaces always ask with credentials; it is the named origins that are trusted, not cookies.
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-request-id"),
        (b"access-control-allow-methods", _METHODS.encode()),
        (b"access-control-allow-headers", _HEADERS.encode()),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin"),
    ]
