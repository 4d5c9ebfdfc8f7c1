"""A trace over real OTLP: HTTP and protobuf, from several processes, one of them killed."""

from __future__ import annotations

import asyncio
import gzip
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SCRIPT = Path(__file__).with_name("traced_process.py")


class Receiver:
    """Takes spans as a collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                spans.extend(
                    span
                    for of_resource in request.resource_spans
                    for of_scope in of_resource.scope_spans
                    for span in of_scope.spans
                )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


async def live(path: Path, receiver: Receiver, verb: str) -> int:
    """Let a process live until it ends, and return its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(SCRIPT), str(path), receiver.endpoint, "run-1", verb
    )
    return await process.wait()


@pytest.mark.slow
async def test_killed_recovered_and_resumed_run_is_one_trace_in_which_no_span_comes_twice(
    receiver: Receiver, tmp_path: Path
):
    """15.3: a run that is killed, recovers, suspends and is resumed by a third process continues the given trace."""
    path = tmp_path / "store.db"

    codes = [await live(path, receiver, verb) for verb in ("start", "recover", "resume")]

    assert codes == [-signal.SIGKILL, 0, 0]
    spans = {span.span_id: span for span in receiver.spans}
    assert len(spans) == len(receiver.spans), "no span twice"
    assert {span.trace_id.hex() for span in receiver.spans} == {f"{0xFEED:032x}"}
    around = {
        (span.name, dict(_attributes(span))["outlast.path"] if span.parent_span_id.hex() != f"{7:016x}" else ""): (
            spans[span.parent_span_id].name if span.parent_span_id in spans else span.parent_span_id.hex()
        )
        for span in receiver.spans
        if not span.name.startswith("attempt")
    }
    run, inner = "workflow run: 'order'", "workflow step: 'inner'"
    assert around == {
        (run, ""): f"{7:016x}",
        ("workflow step: 'fetch'", "fetch"): run,
        (inner, "inner"): run,
        ("workflow step: 'kill_process'", "inner.kill_process"): inner,
        ("workflow step: 'approve'", "inner.approve"): inner,
        ("suspension: 'approve'", "inner.approve"): "workflow step: 'approve'",
        ("workflow step: 'settle'", "settle"): run,
    }
    attempts = {
        (dict(_attributes(span))["outlast.path"], dict(_attributes(span))["outlast.status"]): spans[
            span.parent_span_id
        ].name
        for span in receiver.spans
        if span.name.startswith("attempt")
    }
    assert attempts == {
        ("fetch", "success"): "workflow step: 'fetch'",
        ("inner.kill_process", "success"): "workflow step: 'kill_process'",
        ("inner.approve", "suspended"): "workflow step: 'approve'",
        ("inner.approve", "success"): "workflow step: 'approve'",
        ("settle", "success"): "workflow step: 'settle'",
    }
    (root,) = [span for span in receiver.spans if span.name == run]
    assert dict(_attributes(root))["tenant"] == "acme"


def _attributes(span: Span) -> Iterator[tuple[str, str]]:
    return ((each.key, each.value.string_value) for each in span.attributes)
