"""Heads of requests that do not end: with `serve`, before anybody is asked for a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from outlast import Outlast
from outlast.server import connection, create_app, serve
from server.site import GREET

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@asynccontextmanager
async def reached() -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server."""
    async with Outlast([GREET], store="memory") as app:
        config = uvicorn.Config(create_app(app), port=0, http=connection.Connection, log_config=None, lifespan="off")
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        try:
            reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
            yield reader, writer
            writer.close()
        finally:
            await server.shutdown()


async def send(writer: asyncio.StreamWriter, piece: bytes, count: int) -> None:
    """Send a piece many times, for as long as the server takes it."""
    try:
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"X-Name: value\r\n" * 4_096], ids=["one header", "many headers"])
async def test_head_that_does_not_end_is_cut_off(piece: bytes):
    async with reached() as (reader, writer):
        writer.write(HEAD + b"X-Endless: ")
        sending = asyncio.create_task(send(writer, piece, 200))
        try:
            answer = await reader.read()
        except ConnectionError:  # cut off while it was sending
            answer = b""
        await sending

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("begun", [b"", HEAD], ids=["nothing", "a part"])
async def test_head_that_takes_too_long_is_cut_off(begun: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.01)
    async with reached() as (reader, writer):
        writer.write(begun)

        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_requests_that_follow_each_other_are_answered(monkeypatch: pytest.MonkeyPatch):
    """Each head is counted by itself, and no body; what follows a body is dropped."""
    monkeypatch.setattr(connection, "HEAD_BYTES", 100)
    body = b"POST /api/nope HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with reached() as (reader, writer):
        for _ in range(3):
            writer.write(body)
            await writer.drain()
            for _ in range(5):
                writer.write(b"64\r\n" + b"x" * 100 + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\nX-Trailer: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404 ")
            assert await reader.readexactly(len("404 Not Found")) == b"404 Not Found"


async def test_serve_bounds_its_connections(monkeypatch: pytest.MonkeyPatch):
    used: list[object] = []

    async def note(self: uvicorn.Server) -> None:
        self.config.load()
        used.append(self.config.http_protocol_class)

    monkeypatch.setattr(uvicorn.Server, "serve", note)
    await serve(Outlast([GREET], store="memory"))

    assert used == [connection.Connection]
