"""Events as bytes and back: what was written once is readable for ever."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.codec import EVENT_VERSIONS, UnknownEventError, decode_event, encode_event
from outlast.core.commands import Resumption
from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    CancelRequested,
    Evaluated,
    EvaluationFailed,
    Event,
    HookEnded,
    HookStarted,
    RunContinued,
    RunCrashed,
    RunCreated,
    RunFinished,
    RunGivenUp,
    RunPaused,
    RunRewound,
    RunStarted,
    RunTimedOut,
    SleepStarted,
    StartTimedOut,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.record import Record
from outlast.core.ref import Constant, DictOf, Item, ListOf, Recorded
from outlast.core.seed import Seed
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.graph.patch import Operation, PatchVerb
from outlast.trace import Tracing

CAUSE = FailureInfo(type="KeyError", message="'id'", traceback="Traceback ...")
FAILURE = FailureInfo(
    type="ValueError", message="no\nid ✗", attributes={"code": 7, "tags": ["a"]}, cause=CAUSE, is_retryable=False
)
PATCH = (Operation("log", PatchVerb.APPEND, {"a": [1]}), Operation("draft", PatchVerb.DELETE))

GIVEN = Item(Recorded(9), 0)
SEED = Seed(
    kept={"a": Recorded(3), "each": ListOf((Recorded(4), GIVEN)), "sides": DictOf((("p", Constant(b"null")),))},
    given=("each",),
    bailed=("a",),
    skipped=("b",),
    positions={"": 2},
    passes={"poll": 3},
    answers={"route?big": 1},
    inputs={"c": GIVEN},
    resumptions={"c": Resumption(Recorded(5), GIVEN), "d": Resumption(Recorded(5), None)},
    unchecked=("child",),
)

EVENTS: dict[str, Event] = {
    "run created": RunCreated(5, 1_767_225_600_000),
    "start timed out": StartTimedOut(5, "?start"),
    "run started": RunStarted(5),
    "run started with a context": RunStarted(5, {"tenant": "a", "flags": [1, None]}),
    "run started with a state": RunStarted(5, {}, {"count": 1, "log": []}, include_state=True),
    "step started": StepStarted(5, "child.fetch", 2),
    "step recovered": StepStarted(5, "each[3]", 0, is_recovered=True),
    "step succeeded": StepSucceeded(5, "each[3].resize", 1),
    "step bailed": StepSucceeded(5, "a", 0, is_bail=True),
    "step changed the state": StepSucceeded(5, "a", 0, patch=PATCH),
    "step bailed and changed the state": StepSucceeded(5, "a", 0, is_bail=True, patch=PATCH),
    "step suspended": StepSuspended(5, "a", 1),
    "step suspended with all there is": StepSuspended(5, "a", 1, "boss", 17, PATCH),
    "step resumed": StepResumed(5, "each[3]"),
    "step resumed with a context": StepResumed(5, "each[3]", {"approver": "eve", "flags": [1, None]}),
    "suspension timed out": SuspensionTimedOut(5, "a"),
    "step canceled": StepCanceled(5, "a", 2),
    "condition was false": Evaluated(5, "route?big", 0),
    "duration evaluated": Evaluated(5, "nap?duration", 1_767_225_600_000),
    "evaluation failed": EvaluationFailed(5, "poll#2?condition", FAILURE),
    "sleep started": SleepStarted(5, "nap", 1_767_225_600_000),
    "cancel requested": CancelRequested(5),
    "cancel requested with a reason": CancelRequested(5, "too late ✗"),
    "run started with a deadline": RunStarted(5, deadline_ms=1_767_225_600_000),
    "run started step by step": RunStarted(5, per_step=True),
    "run rewound": RunRewound(5, 1, "", Seed()),
    "run rewound with all there is": RunRewound(5, 2, "c", SEED, {"n": 1}, True, {"by": "eve"}, 17, per_step=True),
    "run paused": RunPaused(5, "?pause"),
    "run continued": RunContinued(5, "?pause", per_step=False),
    "run started with a deadline of its start": RunStarted(5, start_deadline_ms=1_767_225_600_000),
    "run started in a trace": RunStarted(5, tracing=Tracing(trace_id="0" * 31 + "a", tags=("x",), metadata={"a": [1]})),
    "run started hidden": RunStarted(5, tracing=Tracing(hide_input=True, hide_output=True, is_sampled=False)),
    "hook started": HookStarted(5, "?on_start"),
    "hook returned": HookEnded(5, "?on_start", None),
    "hook raised": HookEnded(5, "?on_start", FailureInfo(type="ValueError", message="no")),
    "run timed out": RunTimedOut(5, "?deadline"),
    "run crashed": RunCrashed(5, is_poison=False),
    "run given up": RunGivenUp(5, FAILURE),
    "run crashed too often": RunCrashed(5, is_poison=True),
    "step failed": StepFailed(5, "a", 1, FAILURE, None),
    "step failed and due": StepFailed(5, "a", 1, FAILURE, 17),
    "timer fired": TimerFired(5, "a"),
    "workflow opened": BlockOpened(5, "child"),
    "foreach opened": BlockOpened(5, "each", 3, 2),
    "empty foreach opened": BlockOpened(5, "each", 0, 1),
    "block succeeded": BlockSucceeded(5, "each"),
    "block failed by itself": BlockFailed(5, "each", None, FAILURE),
    "block failed by a node": BlockFailed(5, "each", "each[1]", None),
    "run succeeded": RunFinished(5, RunStatus.SUCCESS),
    "run succeeded with an event's payload": RunFinished(5, RunStatus.SUCCESS, output_seq=9),
    "run failed by a node": RunFinished(5, RunStatus.FAILED, "each[1]", FAILURE),
    "run failed by itself": RunFinished(5, RunStatus.FAILED, None, FAILURE),
    "run canceled": RunFinished(5, RunStatus.CANCELED),
}

# What is in stores already: a change of these bytes needs a new version of the event, and both must be readable.
STORED = {
    "run created": Record(1, 0, True, "run-created", 1, 5, "", 0, b'{"due_at_ms":1767225600000}', b"1"),
    "start timed out": Record(1, 0, True, "start-timed-out", 1, 5, "", 0, None, b"1"),
    "run rewound": Record(1, 0, True, "run-rewound", 1, 5, "", 0, b'{"execution":1,"to":"","seed":{}}', b"1"),
    "run rewound with all there is": Record(
        1,
        0,
        True,
        "run-rewound",
        1,
        5,
        "",
        0,
        b'{"execution":2,"to":"c","seed":{"kept":{"a":3,"each":{"list":[4,{"item":[9,0]}]},"sides":{"dict":[["p",{"value":null}]]}},'
        b'"given":["each"],"bailed":["a"],"skipped":["b"],"positions":{"":2},"passes":{"poll":3},'
        b'"answers":{"route?big":1},"inputs":{"c":{"item":[9,0]}},"resumptions":{"c":[5,{"item":[9,0]}],"d":[5,null]},'
        b'"unchecked":["child"]},"request_context":{"by":"eve"},"state":{"n":1},"deadline_ms":17,"per_step":true,'
        b'"state_given":true}',
        b"1",
    ),
    "run paused": Record(1, 0, True, "run-paused", 1, 5, "", 0, None, b"1"),
    "run continued": Record(1, 0, True, "run-continued", 1, 5, "", 0, b'{"per_step":false}', b"1"),
    "run started": Record(1, 0, True, "run-started", 1, 5, "", 0, None, b"1"),
    "run started with a context": Record(
        1, 0, True, "run-started", 1, 5, "", 0, b'{"request_context":{"tenant":"a","flags":[1,null]}}', b"1"
    ),
    "run started with a deadline of its start": Record(
        1, 0, True, "run-started", 1, 5, "", 0, b'{"start_deadline_ms":1767225600000}', b"1"
    ),
    "step started": Record(1, 0, True, "step-started", 1, 5, "child.fetch", 2, None, b"1"),
    "step recovered": Record(1, 0, True, "step-started", 1, 5, "each[3]", 0, b'{"recovered":true}', b"1"),
    "step succeeded": Record(1, 0, True, "step-succeeded", 1, 5, "each[3].resize", 1, None, b"1"),
    "step bailed": Record(1, 0, True, "step-succeeded", 1, 5, "a", 0, b'{"bailed":true}', b"1"),
    "step changed the state": Record(
        1,
        0,
        True,
        "step-succeeded",
        1,
        5,
        "a",
        0,
        b'{"bailed":false,"patch":[["log","append",{"a":[1]}],["draft","delete",null]]}',
        b"1",
    ),
    "step suspended": Record(
        1, 0, True, "step-suspended", 1, 5, "a", 1, b'{"label":null,"due_at_ms":null,"patch":[]}', b"1"
    ),
    "step resumed": Record(1, 0, True, "step-resumed", 1, 5, "each[3]", 0, None, b"1"),
    "suspension timed out": Record(1, 0, True, "suspension-timed-out", 1, 5, "a", 0, None, b"1"),
    "step canceled": Record(1, 0, True, "step-canceled", 1, 5, "a", 2, None, b"1"),
    "condition was false": Record(1, 0, True, "evaluated", 1, 5, "route?big", 0, b'{"value":0}', b"1"),
    "sleep started": Record(1, 0, True, "sleep-started", 1, 5, "nap", 0, b'{"due_at_ms":1767225600000}', b"1"),
    "cancel requested": Record(1, 0, True, "cancel-requested", 1, 5, "", 0, b'{"reason":null}', b"1"),
    "run timed out": Record(1, 0, True, "run-timed-out", 1, 5, "", 0, None, b"1"),
    "run crashed": Record(1, 0, True, "run-crashed", 1, 5, "", 0, b'{"poison":false}', b"1"),
    "timer fired": Record(1, 0, True, "timer-fired", 1, 5, "a", 0, None, b"1"),
    "workflow opened": Record(1, 0, True, "block-opened", 1, 5, "child", 0, None, b"1"),
    "foreach opened": Record(1, 0, True, "block-opened", 1, 5, "each", 0, b'{"length":3,"concurrency":2}', b"1"),
    "block succeeded": Record(1, 0, True, "block-succeeded", 1, 5, "each", 0, None, b"1"),
    "block failed by a node": Record(
        1, 0, True, "block-failed", 1, 5, "each", 0, b'{"cause":"each[1]","failure":null}', b"1"
    ),
    "run succeeded": Record(1, 0, True, "run-finished", 1, 5, "", 0, None, b"1"),
    "run canceled": Record(
        1, 0, True, "run-finished", 1, 5, "", 0, b'{"status":"canceled","cause":null,"failure":null}', b"1"
    ),
}


def test_every_event_has_an_example_here():
    assert {type(event) for event in EVENTS.values()} == set(get_args(Event))


def test_every_event_has_a_stored_type_of_its_own():
    types = {encode_event(event, seq=1, execution=0, payload=None).type: type(event) for event in EVENTS.values()}

    assert set(types) == set(EVENT_VERSIONS)
    assert set(types.values()) == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_event_comes_back_as_it_was(event):
    record = encode_event(event, seq=7, execution=0, payload=b"1")

    assert decode_event(record) == event


@pytest.mark.parametrize("name", STORED)
def test_stored_form_does_not_change(name):
    record = encode_event(EVENTS[name], seq=1, execution=0, payload=b"1")

    assert record == STORED[name]


def test_record_carries_seq_execution_and_payload_beside_the_event():
    record = encode_event(StepSucceeded(5, "a", 0), seq=7, execution=2, payload=b"[1]")

    assert (record.seq, record.execution, record.is_fact, record.payload) == (7, 2, True, b"[1]")


def test_unknown_type_is_refused():
    """9.8."""
    record = Record(3, 0, True, "step-teleported", 1, 5, "a", 0, None, None)

    with pytest.raises(UnknownEventError) as caught:
        decode_event(record)

    assert str(caught.value) == (
        "event 'step-teleported' version 1 was written by a newer version of outlast; upgrade this worker"
    )
    assert (caught.value.type, caught.value.version) == ("step-teleported", 1)


@pytest.mark.parametrize("name", EVENT_VERSIONS)
def test_newer_version_of_a_known_type_is_refused(name):
    """9.8."""
    record = Record(3, 0, True, name, EVENT_VERSIONS[name] + 1, 5, "a", 0, None, None)

    with pytest.raises(UnknownEventError, match=f"event '{name}' version {EVENT_VERSIONS[name] + 1} was written"):
        decode_event(record)


TEXTS = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
FAILURES = st.recursive(
    st.none(),
    lambda inner: st.builds(
        FailureInfo,
        type=TEXTS,
        message=TEXTS,
        traceback=TEXTS,
        attributes=st.dictionaries(TEXTS, JSON, max_size=2),
        cause=inner,
        is_retryable=st.booleans(),
    ),
    max_leaves=3,
).filter(bool)


@given(FAILURES, st.none() | st.integers(0, 2**53))
def test_any_failure_comes_back_as_it_was(failure, due):
    event = StepFailed(5, "a", 1, failure, due)

    assert decode_event(encode_event(event, seq=1, execution=0, payload=None)) == event


@given(st.dictionaries(TEXTS, JSON, max_size=3))
def test_any_request_context_comes_back_as_it_was(context):
    event = RunStarted(5, context)

    assert decode_event(encode_event(event, seq=1, execution=0, payload=None)) == event
