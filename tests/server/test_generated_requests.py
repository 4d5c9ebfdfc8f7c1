"""Requests generated from the OpenAPI description: no fault, no undeclared status, no answer of another shape.

`OUTLAST_REQUESTS` sets how many: 2,000 in CI, and `OUTLAST_REQUESTS=20000` by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chance import first_seed

HERE = Path(__file__).parent
REQUESTS = int(os.environ.get("OUTLAST_REQUESTS", "2000"))
MOST = 2_000
"""How many one test sends: 20,000 take longer than a test may on a machine that has other things to do."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KNOWN = {"workflow_id": ["greet", "approval"], "run_id": ["a-greet", "a-approval"], "runId": ["a-greet", "a-approval"]}
"""Names that exist, put in now and then: else nearly everything would be 404."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, HERE / "generated_server.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def make_real(case: Any, data: st.DataObject) -> None:
    """Put known names into some of the places that take one."""
    for part in (case.path_parameters, case.query):
        for name, known in KNOWN.items():
            if name in (part or {}):
                part[name] = data.draw(st.sampled_from([part[name], *known]))
    if case.operation.path.endswith("/events"):
        case.query = {**(case.query or {}), "follow": False, "wait": False}  # these wait for ever, as they are to
    run_id = (case.query or {}).get("runId")
    if case.operation.path.endswith("/observe") and run_id is not None and run_id not in KNOWN["runId"]:
        case.query["runId"] = f"unknown-{run_id}"  # as above: another request may have created that run, to be started
    if isinstance(case.body, dict) and "closeOnSuspend" in case.body:
        case.body["closeOnSuspend"] = True  # as above


@pytest.mark.parametrize("done", range(0, REQUESTS, MOST))
def test_generated_requests_find_no_fault(address: str, done: int):
    number = min(MOST, REQUESTS - done)
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    operations = [each.ok() for each in schema.get_all_operations()]
    sent: Counter[str] = Counter()
    first = first_seed() + done

    def send(operation: Any, most: int) -> None:
        @hypothesis.seed(first + sent.total())  # others each time
        @hypothesis.settings(
            max_examples=most, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=operation.as_strategy(), data=st.data())
        def check(case: Any, data: st.DataObject) -> None:
            make_real(case, data)
            case.call_and_validate(checks=CHECKS, timeout=20)
            sent[f"{case.method} {case.path}"] += 1

        check()

    # Some have nothing to vary, and are sent once each time; the others make up for them.
    while (missing := number - sent.total()) > 0:
        for operation in operations:
            send(operation, -(-missing // len(operations)))

    print(f"{sent.total():,} requests to {len(sent)} routes, the least of them {min(sent.values())} times")  # noqa: T201
    assert len(sent) == len(operations)


def test_every_route_is_described(address: str):
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    described = schema.raw_schema

    assert described["openapi"].startswith("3.1")
    assert described["servers"] == [{"url": "/api"}]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], f"{method} {path}"
            assert operation["description"], f"{method} {path}"
            assert "422" not in operation["responses"], f"{method} {path}"
