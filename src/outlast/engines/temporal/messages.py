"""What client, workflow and activities tell each other. Their form is kept: histories hold it for as long as they live.

Fields may be added, with a default for messages that lack them. A field that changes its meaning needs a new version
in `packing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal, TypeAlias, assert_never, cast

from outlast.core.commands import Purpose
from outlast.core.record import Record
from outlast.engines.perform import Aborted, Answered, Bailed, Outcome, Raised, Returned, Suspended
from outlast.engines.temporal.opening import RAWS_OF_EACH, opening_from_json, opening_raws, opening_to_json
from outlast.engines.temporal.packing import LARGEST_MESSAGE, pack, unpack
from outlast.engines.temporal.said import Uttered, said_in
from outlast.failures import FailureInfo, failure_from_json, failure_to_json
from outlast.graph.patch import patch_from_json, patch_to_json
from outlast.immutable import immutable
from outlast.trace import UNTRACED, Tracing, tracing_from_json
from outlast.values import InvalidValueError, JsonValue

__all__ = ["Ask", "Asks", "Reply", "Request", "Start", "Task", "Verdict"]

_GRACE_MS: Final = 5_000
_CRASHES_LEFT: Final = 5
"""What calls mean that say nothing: the app's defaults when this was decided. They are part of the form of messages."""


def _tracing_to_json(tracing: Tracing) -> dict[str, JsonValue]:
    """Return the entry of a header, which has none if nobody asked for anything."""
    return {} if tracing is UNTRACED or tracing == UNTRACED else {"tracing": tracing.to_json()}


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", value)


@immutable
class Start:
    """What a workflow is started with: the run, its graph, and after a continue-as-new its state."""

    run_id: str
    """Id of the run."""
    resource_id: str | None
    """Whose run it is."""
    request_context: Mapping[str, JsonValue]
    """What the caller tells all steps."""
    state: Mapping[str, JsonValue]
    """The initial state."""
    include_state: bool
    """Whether results show the state."""
    max_recoveries: int
    """How often processes may end by themselves while they call bodies of the run."""
    grace_ms: int
    """How long a body may go on after the run was canceled or after it asked to leave."""
    lease_ms: int
    """After how long without a sign of life a worker that calls a body is taken for dead."""
    delay_ms: int
    """How long the run waits before it starts."""
    start_within_ms: int | None
    """How long it may take until a worker begins it, from when it may start; None for as long as it takes."""
    per_step: bool
    """Whether the run stops after each node."""
    tags: tuple[str, ...]
    """Words to find it by."""
    hook_delay_ms: int
    """How long after its first failed call a hook that is told of rests is called again."""
    graph: bytes
    """The graph that it runs on."""
    input: bytes
    """The input."""
    snapshot: bytes | None = None
    """Where to go on after a continue-as-new; None at the beginning."""
    tracing: Tracing = UNTRACED
    """What the caller asked of its trace."""
    is_traced: bool = False
    """Whether somebody takes its spans."""
    carried: tuple[Request, ...] = ()
    """After a continue-as-new: what outsiders had asked and the workflow before had not folded."""
    largest: int = LARGEST_MESSAGE
    """Most bytes of one message: more if large ones are kept apart."""
    opening: tuple[Record, ...] = ()
    """The events with which the run, or its next execution, begins elsewhere than at the start; a snapshot has them."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        header: dict[str, JsonValue] = {
            "run_id": self.run_id,
            "resource_id": self.resource_id,
            "request_context": dict(self.request_context),
            "state": dict(self.state),
            "include_state": self.include_state,
            "max_recoveries": self.max_recoveries,
            "grace_ms": self.grace_ms,
            "lease_ms": self.lease_ms,
            "delay_ms": self.delay_ms,
            "start_within_ms": self.start_within_ms,
            "per_step": self.per_step,
            "tags": list(self.tags),
            "hook_delay_ms": self.hook_delay_ms,
            "is_continued": self.snapshot is not None,
            **_tracing_to_json(self.tracing),
        }
        if self.is_traced:
            header["is_traced"] = True
        if self.largest != LARGEST_MESSAGE:
            header["largest"] = self.largest
        if self.opening:
            header["opening"] = opening_to_json(self.opening)
        carried = (each.to_bytes() for each in self.carried)
        return pack(header, self.graph, self.input, self.snapshot, *opening_raws(self.opening), *carried)

    @classmethod
    def from_bytes(cls, message: bytes) -> Start:
        """Return what `to_bytes` wrote.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        header, (graph, input, snapshot, *raws) = unpack(message)
        opening = opening_from_json(header.get("opening"), raws)
        return cls(
            run_id=str(header["run_id"]),
            resource_id=cast("str | None", header["resource_id"]),
            request_context=_object(header["request_context"]),
            state=_object(header["state"]),
            include_state=bool(header["include_state"]),
            max_recoveries=cast("int", header["max_recoveries"]),
            grace_ms=cast("int", header["grace_ms"]),
            lease_ms=cast("int", header["lease_ms"]),
            delay_ms=cast("int", header["delay_ms"]),
            start_within_ms=cast("int | None", header["start_within_ms"]),
            per_step=bool(header["per_step"]),
            tags=tuple(cast("list[str]", header["tags"])),
            hook_delay_ms=cast("int", header.get("hook_delay_ms", 1_000)),
            graph=graph,
            input=input,
            snapshot=snapshot if header["is_continued"] else None,
            tracing=tracing_from_json(header.get("tracing")),
            is_traced=bool(header.get("is_traced")),
            carried=tuple(Request.from_bytes(each) for each in raws[RAWS_OF_EACH * len(opening) :]),
            opening=opening,
            largest=cast("int", header.get("largest", LARGEST_MESSAGE)),
        )


@immutable
class Task:
    """One call of a step's body."""

    run_id: str
    """Id of the run."""
    workflow: str
    """The workflow of the run, whose functions are called."""
    scope: str
    """The workflow in which the step stands."""
    resource_id: str | None
    """Whose run it is."""
    path: str
    """The step."""
    function: str
    """Reference of its body."""
    attempt: int
    """0 for the first try."""
    timeout_ms: int | None
    """How long it may take; None for ever."""
    grace_ms: int
    """How long it may go on after the run was canceled, or after it asked to leave."""
    crashes_left: int
    """How often a process may end by itself while it calls this body before the run is poison."""
    input: bytes
    """Its input."""
    state: bytes
    """The state of the run."""
    request_context: bytes
    """What the caller told all steps."""
    suspend_data: bytes | None = None
    """What it told when it suspended."""
    resume_data: bytes | None = None
    """What it was resumed with."""
    suspensions: int = 0
    """How often it was suspended before."""
    said: int = 0
    """How many events the bodies of the run have said so far."""
    tracing: Tracing = UNTRACED
    """What the caller of the run asked of its trace."""
    execution: int = 0
    """Which execution of the run it belongs to."""
    is_last: bool = False
    """Whether what it returns is the output of the workflow in which it stands, for which that declares a type."""

    def to_bytes(self) -> bytes:
        """Return the message, without what the activity is told by Temporal."""
        header: dict[str, JsonValue] = {"run_id": self.run_id, **_tracing_to_json(self.tracing)}
        if self.scope != self.workflow:
            header["scope"] = self.scope
        rare: dict[str, JsonValue] = {
            "resource_id": self.resource_id,
            "attempt": self.attempt or None,
            "timeout_ms": self.timeout_ms,
            "grace_ms": None if self.grace_ms == _GRACE_MS else self.grace_ms,
            "crashes_left": None if self.crashes_left == _CRASHES_LEFT else self.crashes_left,
            "suspensions": self.suspensions or None,
            "said": self.said or None,
            "execution": self.execution or None,
            "has_suspended": True if self.suspend_data is not None else None,
            "is_resumed": True if self.resume_data is not None else None,
            "is_last": True if self.is_last else None,
        }
        header |= {key: value for key, value in rare.items() if value is not None}
        told = () if self.suspend_data is None else (self.suspend_data, self.resume_data)
        return pack(header, self.input, self.state, self.request_context, *told)

    @classmethod
    def from_bytes(cls, message: bytes, *, workflow: str, path: str, function: str) -> Task:
        """Return what `to_bytes` wrote.

        Args:
            message: What it wrote.
            workflow: Type of the workflow that calls the activity.
            path: What stands before the colon in the activity's id.
            function: Type of the activity.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        header, raws = unpack(message)
        return cls(
            run_id=str(header["run_id"]),
            workflow=workflow,
            scope=str(header.get("scope", workflow)),
            resource_id=cast("str | None", header.get("resource_id")),
            path=path,
            function=function,
            attempt=cast("int", header.get("attempt", 0)),
            timeout_ms=cast("int | None", header.get("timeout_ms")),
            grace_ms=cast("int", header.get("grace_ms", _GRACE_MS)),
            crashes_left=cast("int", header.get("crashes_left", _CRASHES_LEFT)),
            input=raws[0],
            state=raws[1],
            request_context=raws[2],
            suspend_data=raws[3] if header.get("has_suspended") else None,
            resume_data=raws[4] if header.get("is_resumed") else None,
            suspensions=cast("int", header.get("suspensions", 0)),
            said=cast("int", header.get("said", 0)),
            tracing=tracing_from_json(header.get("tracing")),
            execution=cast("int", header.get("execution", 0)),
            is_last=bool(header.get("is_last")),
        )


Verdict: TypeAlias = Literal["fits", "canceled", "poison", "elsewhere"]
"""What can become of a call besides an outcome.

A value fits its type; the function was left; its calls kill processes; it may wait and needs an activity of its own.
"""


@immutable
class Reply:
    """What became of a call."""

    at_ms: int
    """When that was, by the clock of the worker."""
    outcome: Outcome | Verdict
    """What it was."""
    restarts: int = 0
    """How often the body was called before without an outcome."""
    crashes: int = 0
    """How many of these calls ended because a process ended by itself."""
    uttered: Sequence[Uttered] = ()
    """What the body said and did not send before."""
    fits: bool = False
    """Whether what a last step returned was found to fit the type that its workflow declares."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        header: dict[str, JsonValue] = {"at_ms": self.at_ms}
        if self.restarts:  # else there were no crashes
            header |= {"restarts": self.restarts, "crashes": self.crashes}
        if self.fits:
            header["fits"] = True
        if self.uttered:
            header["said"] = [each.to_json() for each in self.uttered]
        raw: bytes | None = None
        match self.outcome:
            case Returned(payload=raw, patch=()):
                pass  # what most calls come to is said by saying nothing
            case Returned(payload=raw, patch=patch):
                header |= {"kind": "returned", "patch": patch_to_json(patch)}
            case Bailed(payload=raw, patch=patch):
                header |= {"kind": "bailed", "patch": patch_to_json(patch)}
            case Suspended(payload=raw, label=label, timeout=timeout, patch=patch):
                wait_ms = None if timeout is None else round(timeout / timedelta(milliseconds=1))
                header |= {"kind": "suspended", "patch": patch_to_json(patch), "label": label, "timeout_ms": wait_ms}
            case Answered(value=value):
                header |= {"kind": "answered", "value": value}
            case Raised(failure=failure):
                header |= {"kind": "raised", "failure": failure_to_json(failure)}
            case Aborted():
                header["kind"] = "aborted"
            case "fits" | "canceled" | "poison" | "elsewhere":
                header["kind"] = self.outcome
            case _:
                assert_never(self.outcome)
        return pack(header, raw, *(each.record.payload for each in self.uttered))

    @classmethod
    def from_bytes(cls, message: bytes) -> Reply:
        """Return what `to_bytes` wrote.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        header, raws = unpack(message)
        restarts, crashes = cast("int", header.get("restarts", 0)), cast("int", header.get("crashes", 0))
        uttered = said_in(header, raws[1:]) if "said" in header else ()
        fits = bool(header.get("fits"))
        return cls(cast("int", header["at_ms"]), _outcome(header, raws[0]), restarts, crashes, uttered, fits)


def _outcome(header: dict[str, JsonValue], raw: bytes) -> Outcome | Verdict:
    kind, patch = header.get("kind", "returned"), patch_from_json(header.get("patch", []))
    match kind:
        case "returned":
            return Returned(raw, patch)
        case "bailed":
            return Bailed(raw, patch)
        case "suspended":
            timeout_ms = cast("int | None", header["timeout_ms"])
            timeout = None if timeout_ms is None else timedelta(milliseconds=timeout_ms)
            return Suspended(raw, cast("str | None", header["label"]), timeout, patch)
        case "answered":
            return Answered(cast("int", header["value"]))
        case "raised":
            return Raised(_failure(header["failure"]))
        case "aborted":
            return Aborted()
        case _:
            return cast("Verdict", kind)


def _failure(value: JsonValue) -> FailureInfo:
    return failure_from_json(_object(value))


@immutable
class Ask:
    """One question that is answered in the worker that drives the run: a map, a condition, a check of a type."""

    kind: Literal["map", "evaluate", "check"]
    """What is asked."""
    path: str
    """The node, or what of it."""
    scope: str
    """The workflow in which it stands; for a check, the one whose type must fit."""
    value: int
    """Which of the values is the input."""
    function: str = ""
    """Reference of the function; for a check, `input` or `output`."""
    subject: str = ""
    """For a check: what the value is, in words."""
    purpose: Purpose | None = None
    """How the answer of a function that steers the run is read."""
    iteration_count: int = 0
    """For the condition of a loop: how many passes are done."""
    sources: JsonValue = None
    """Of a map that no function describes."""
    init: int | None = None
    """Which of the values is the input of the workflow in which it stands; None if it is too large."""
    results: Mapping[str, int | None] | None = None
    """Which of the values are the outputs of the nodes of that workflow, by id; None for those that are too large."""


@immutable
class Asks:
    """Questions that are answered together, so that all of them cost one event of the history."""

    run_id: str
    """Id of the run."""
    workflow: str
    """The workflow of the run, whose functions are called."""
    resource_id: str | None
    """Whose run it is."""
    grace_ms: int
    """How long a function may go on after the run was canceled."""
    crashes_left: int
    """How often a process may end by itself while it calls a function before the run is poison."""
    state: bytes
    """The state of the run."""
    request_context: bytes
    """What the caller told all steps."""
    asks: Sequence[Ask]
    """The questions."""
    values: Sequence[bytes]
    """The values that they refer to."""
    tracing: Tracing = UNTRACED
    """What the caller of the run asked of its trace."""
    execution: int = 0
    """Which execution of the run it belongs to."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        header: dict[str, JsonValue] = {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "resource_id": self.resource_id,
            "grace_ms": self.grace_ms,
            "crashes_left": self.crashes_left,
            "asks": [_ask_to_json(each) for each in self.asks],
            **_tracing_to_json(self.tracing),
            **({"execution": self.execution} if self.execution else {}),
        }
        return pack(header, self.state, self.request_context, *self.values)

    @classmethod
    def from_bytes(cls, message: bytes) -> Asks:
        """Return what `to_bytes` wrote.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        header, raws = unpack(message)
        return cls(
            run_id=str(header["run_id"]),
            workflow=str(header["workflow"]),
            resource_id=cast("str | None", header["resource_id"]),
            grace_ms=cast("int", header["grace_ms"]),
            crashes_left=cast("int", header["crashes_left"]),
            state=raws[0],
            request_context=raws[1],
            asks=[Ask(**cast("dict[str, JsonValue]", each)) for each in cast("list[JsonValue]", header["asks"])],  # type: ignore[arg-type]
            values=raws[2:],
            tracing=tracing_from_json(header.get("tracing")),
            execution=cast("int", header.get("execution", 0)),
        )


def _ask_to_json(ask: Ask) -> JsonValue:
    fields: dict[str, JsonValue] = {
        "kind": ask.kind,
        "path": ask.path,
        "scope": ask.scope,
        "value": ask.value,
        "function": ask.function,
        "subject": ask.subject,
        "purpose": ask.purpose,
        "iteration_count": ask.iteration_count,
        "sources": ask.sources,
        "init": ask.init,
        "results": None if ask.results is None else dict(ask.results),
    }
    return {name: value for name, value in fields.items() if value is not None}


@immutable
class Request:
    """What an outsider asks of a run: a signal of the workflow."""

    request_id: str
    """Made up by whoever asks, to find their own request in the history."""
    kind: str
    """`resume` or `cancel`."""
    topic: str
    """Of several requests with one topic the first counts."""
    body: bytes
    """The rest."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        return pack({"request_id": self.request_id, "kind": self.kind, "topic": self.topic}, self.body)

    @classmethod
    def read(cls, message: bytes) -> Request | None:
        """Return what `to_bytes` wrote; None for what somebody else sent, which must not stop a run.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        try:
            return cls.from_bytes(message)
        except (InvalidValueError, AttributeError, LookupError, ValueError):
            return None

    @classmethod
    def from_bytes(cls, message: bytes) -> Request:
        """Return what `to_bytes` wrote.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        header, raws = unpack(message)
        return cls(str(header["request_id"]), str(header["kind"]), str(header["topic"]), raws[0])
