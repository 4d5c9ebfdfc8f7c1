"""Tracing over HTTP: the trace of a request continues into the run that it starts (rule 15)."""

from __future__ import annotations

import pytest

from outlast import TracingOptions
from outlast.tracing import parse_traceparent
from server.site import site

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def test_traceparent_of_a_start_continues_into_the_run():
    async with site() as s:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        body = {"inputData": "ada", "tracingOptions": {"tags": ["x"]}}
        done = await s.client.post("/api/workflows/greet/start-async", json=body, headers=headers)
        started = await s.client.post("/api/workflows/greet/start", json=body, headers=headers)
        result = await s.app.run(started.json()["runId"]).result()

    assert done.json()["traceId"] == TRACE
    assert (result.tracing.trace_id, result.tracing.parent_span_id) == (TRACE, SPAN)
    assert result.tracing.tags == ("x",)


async def test_trace_that_the_body_names_wins_over_the_header():
    async with site() as s:
        body = {"inputData": "ada", "tracingOptions": {"traceId": "ab"}}
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        done = await s.client.post("/api/workflows/greet/start-async", json=body, headers=headers)

    assert done.json()["traceId"] == f"{0xAB:032x}"


async def test_malformed_options_are_refused_and_a_malformed_header_says_nothing():
    async with site() as s:
        body = {"inputData": "ada", "tracingOptions": {"parentSpanId": "ab"}}
        refused = await s.client.post("/api/workflows/greet/start-async", json=body)
        headers = {"traceparent": "00-rubbish"}
        ignored = await s.client.post("/api/workflows/greet/start-async", json={"inputData": "ada"}, headers=headers)

    assert (refused.status_code, refused.json()["issues"][0]["field"]) == (400, "parent_span_id")
    assert ignored.json()["status"] == "success"


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_header_against_the_standard_is_ignored(header: str):
    assert parse_traceparent(header) is None


def test_header_of_a_later_version_and_one_that_is_not_sampled_are_read():
    later, unsampled = parse_traceparent(f"cc-{TRACE}-{SPAN}-01-more"), parse_traceparent(f"00-{TRACE}-{SPAN}-00")

    assert later == TracingOptions(trace_id=TRACE, parent_span_id=SPAN)
    assert unsampled == TracingOptions(trace_id=TRACE, parent_span_id=SPAN, is_sampled=False)
