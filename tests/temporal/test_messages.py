"""What client, workflow and activities tell each other: it is read as it was written, and plain runs say little."""

from __future__ import annotations

import pytest

from outlast.engines.perform import Aborted, Outcome, Raised, Returned
from outlast.engines.temporal.messages import Reply, Task, Verdict
from outlast.engines.temporal.packing import pack
from outlast.failures import FailureInfo
from outlast.graph.patch import Operation, PatchVerb
from outlast.trace import Tracing

PLAIN = Task(
    run_id="run",
    workflow="order",
    scope="order",
    resource_id=None,
    path="charge",
    function="order/charge",
    attempt=0,
    timeout_ms=None,
    grace_ms=5_000,
    crashes_left=5,
    input=b"1",
    state=b"{}",
    request_context=b"{}",
)
RICH = Task(
    run_id="run",
    workflow="order",
    scope="payment",
    resource_id="",
    path="pay/charge",
    function="order/charge",
    attempt=2,
    timeout_ms=0,
    grace_ms=0,
    crashes_left=0,
    input=b"1",
    state=b'{"a":1}',
    request_context=b'{"b":2}',
    suspend_data=b"null",
    resume_data=b"7",
    suspensions=3,
    said=4,
    tracing=Tracing(trace_id="0" * 31 + "1"),
    execution=5,
    is_last=True,
)


@pytest.mark.parametrize("task", [PLAIN, RICH])
def test_a_call_is_read_as_it_was_written(task: Task) -> None:
    known = {"workflow": task.workflow, "path": task.path, "function": task.function}

    assert Task.from_bytes(task.to_bytes(), **known) == task


def test_a_plain_call_says_only_what_is_special() -> None:
    assert PLAIN.to_bytes() == b'[{"v":1,"run_id":"run"},1,{},{}]'


def test_a_call_that_says_all_is_read() -> None:
    header = {
        "run_id": "run",
        "workflow": "order",
        "scope": "order",
        "resource_id": None,
        "path": "charge",
        "function": "order/charge",
        "attempt": 0,
        "timeout_ms": None,
        "grace_ms": 5_000,
        "crashes_left": 5,
        "has_suspended": False,
        "is_resumed": False,
    }

    message = pack({**header}, b"1", b"{}", b"{}", None, None)

    assert Task.from_bytes(message, workflow="order", path="charge", function="order/charge") == PLAIN


@pytest.mark.parametrize(
    "outcome",
    [
        Returned(b"1", ()),
        Returned(b"1", (Operation("a", PatchVerb.ADD, 1),)),
        Raised(FailureInfo(type="ValueError", message="no")),
        Aborted(),
        "canceled",
    ],
)
@pytest.mark.parametrize(("restarts", "crashes"), [(0, 0), (2, 0), (2, 1)])
def test_what_became_of_a_call_is_read_as_it_was_written(
    outcome: Outcome | Verdict, restarts: int, crashes: int
) -> None:
    reply = Reply(5, outcome, restarts, crashes)

    assert Reply.from_bytes(reply.to_bytes()) == reply


def test_a_plain_outcome_says_only_when_it_was() -> None:
    assert Reply(5, Returned(b"1", ())).to_bytes() == b'[{"v":1,"at_ms":5},1]'


def test_an_outcome_that_says_all_is_read() -> None:
    message = pack({"at_ms": 5, "restarts": 0, "crashes": 0, "kind": "returned", "patch": []}, b"1")

    assert Reply.from_bytes(message) == Reply(5, Returned(b"1", ()))


def test_that_a_value_fits_is_read_as_it_was_written() -> None:
    reply = Reply(5, Returned(b"1", ()), fits=True)

    assert Reply.from_bytes(reply.to_bytes()) == reply
