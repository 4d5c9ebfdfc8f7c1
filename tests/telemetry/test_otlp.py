"""A trace over real OTLP: HTTP and protobuf, from several processes, one of them killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from telemetry.receiver import Receiver

SCRIPT = Path(__file__).with_name("traced_process.py")


@pytest.fixture
def spans() -> list[Span]:
    """What the receiver got."""
    return []


@pytest.fixture
def receiver(spans: list[Span]) -> Iterator[Receiver]:
    def take(body: bytes) -> None:
        spans.extend(
            span
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        )

    receiver = Receiver(take)
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
    receiver: Receiver, spans: list[Span], tmp_path: Path
):
    """15.3: a run that is killed, recovers, suspends and is resumed by a third process continues the given trace."""
    path = tmp_path / "store.db"

    codes = [await live(path, receiver, verb) for verb in ("start", "recover", "resume")]

    assert codes == [-signal.SIGKILL, 0, 0]
    known = {span.span_id: span for span in spans}
    assert len(known) == len(spans), "no span twice"
    assert {span.trace_id.hex() for span in spans} == {f"{0xFEED:032x}"}
    around = {
        (span.name, dict(_attributes(span))["outlast.path"] if span.parent_span_id.hex() != f"{7:016x}" else ""): (
            known[span.parent_span_id].name if span.parent_span_id in known else span.parent_span_id.hex()
        )
        for span in spans
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
        (dict(_attributes(span))["outlast.path"], dict(_attributes(span))["outlast.status"]): known[
            span.parent_span_id
        ].name
        for span in spans
        if span.name.startswith("attempt")
    }
    assert attempts == {
        ("fetch", "success"): "workflow step: 'fetch'",
        ("inner.kill_process", "success"): "workflow step: 'kill_process'",
        ("inner.approve", "suspended"): "workflow step: 'approve'",
        ("inner.approve", "success"): "workflow step: 'approve'",
        ("settle", "success"): "workflow step: 'settle'",
    }
    (root,) = [span for span in spans if span.name == run]
    assert dict(_attributes(root))["tenant"] == "acme"


def _attributes(span: Span) -> Iterator[tuple[str, str]]:
    return ((each.key, each.value.string_value) for each in span.attributes)
