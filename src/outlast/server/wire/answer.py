"""The shapes of answers, for the OpenAPI description; tests hold every answer against them."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from outlast.immutable import immutable

__all__ = [
    "RESPONSES",
    "Answer",
    "Capabilities",
    "Claim",
    "Counts",
    "Created",
    "Deliveries",
    "Failure",
    "JsonObject",
    "Marked",
    "Message",
    "Resumed",
    "RunDetails",
    "RunOutcome",
    "RunPage",
    "RunRows",
    "ScheduleInfo",
    "ScheduleList",
    "Started",
    "TriggerList",
    "WholeRun",
    "Why",
]

JsonObject: TypeAlias = dict[str, Any]
_Status: TypeAlias = Literal["pending", "running", "waiting", "suspended", "paused", "success", "failed", "canceled"]


class Answer(BaseModel):
    """What all have in common: keys in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True)


class Issue(Answer):
    """One thing that is wrong with a request."""

    field: str
    """Where, as a dotted path; `root` for the whole."""
    message: str
    """What is wrong there."""


class Failure(Answer):
    """Why a request was refused."""

    error: str
    """What happened."""
    code: str
    """What happened, for programs; never changes."""
    issues: list[Issue] = Field(default_factory=list[Issue])
    """What is wrong with the request."""
    hint: str = ""
    """What to do."""
    details: Any = None
    """What a client needs to raise the same error."""


class Capabilities(Answer):
    """How to log in."""

    enabled: bool
    """Whether tokens are asked for."""
    login: None
    """There is no form to log in with."""


class Message(Answer):
    """It is done."""

    message: str
    """What was done."""


class Started(Answer):
    """The run is durable."""

    message: Literal["Workflow run started"]
    """What was done."""
    run_id: str
    """Id of the run."""


class Created(Answer):
    """The run that was meant."""

    run_id: str
    """Id of the run."""


class RunOutcome(Answer):
    """A run that rests."""

    run_id: str
    """Id of the run."""
    status: _Status
    """How it ended, or that it waits for somebody."""
    input: Any
    """Its input."""
    steps: JsonObject
    """The input, and the record of each step."""
    step_execution_path: list[str]
    """Steps of the workflow itself that have begun, in order."""
    result: Any = None
    """With status `success`."""
    error: JsonObject | None = None
    """With status `failed`: name and message."""
    suspended: list[list[str]] = Field(default_factory=list[list[str]])
    """With status `suspended`: the paths of the steps that wait."""
    suspend_payload: JsonObject = Field(default_factory=dict)
    """With status `suspended`: what they tell."""
    state: JsonObject | None = None
    """The state, if it was asked for at the start."""
    trace_id: str
    """Id of the trace that it belongs to."""
    span_id: str
    """Id of its span in that trace."""


class WholeRun(Answer):
    """All that is known of a run."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    execution: int
    """Its latest execution: 0 for the first."""
    status: _Status
    """What it does, or how it ended."""
    is_at_rest: bool
    """Whether nothing happens until somebody from outside acts."""
    input: Any
    """Its input."""
    steps: dict[str, JsonObject]
    """Everything that has begun, by path."""
    result: Any = None
    """With status `success`."""
    error: JsonObject | None = None
    """With status `failed`: why."""
    error_path: str = ""
    """With status `failed`: the path of the node whose failure it is."""
    cancel_reason: str | None = None
    """With status `canceled`: the words of who canceled it."""
    suspended: list[str] = Field(default_factory=list[str])
    """Paths of the nodes that wait to be resumed."""
    suspend_payload: JsonObject = Field(default_factory=dict)
    """What these tell, by path."""
    state: JsonObject | None = None
    """The state, if it was asked for at the start."""


class RunRow(Answer):
    """A run of a list, with what is recorded of it."""

    workflow_name: str
    """Id of its workflow."""
    run_id: str
    """Id of the run."""
    resource_id: str | None
    """Whose run it is."""
    created_at: str
    """When it was recorded."""
    updated_at: str
    """When something happened to it last."""
    snapshot: JsonObject
    """Its state, steps and outcome; in a long list only its status."""


class RunRows(Answer):
    """A page of runs."""

    runs: list[RunRow]
    """The runs, the newest first."""
    total: int
    """How many there are on all pages; a lower bound from 10,000 on."""


class Why(Answer):
    """Why a run is where it is."""

    why: str
    """In words."""


class Marked(Answer):
    """It is durable."""

    run_id: str
    """Id of the run."""
    mark: str
    """Hand it to `GET /runs/{run_id}/result` to wait for what comes of it."""


class Resumed(Marked):
    """A suspension is resumed."""

    skipped: list[str]
    """Suspended items that somebody else had resumed meanwhile."""


class Deliveries(Answer):
    """Calls of hooks that have not succeeded."""

    deliveries: list[JsonObject]
    """The hook, the execution, how often it was tried, when it is due (null if given up), and why it failed."""


class RunInfo(Answer):
    """A run as lists show it."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    status: _Status
    """What it does, or how it ended."""
    execution: int
    """Its latest execution: 0 for the first."""
    created_at: int
    """When it was recorded, in milliseconds since 1970."""
    updated_at: int
    """When something happened to it last, in milliseconds since 1970."""
    tags: list[str]
    """Its tags."""


class RunPage(Answer):
    """A page of runs."""

    runs: list[RunInfo]
    """The runs, the newest first."""
    after: str | None
    """Asks for the next page; null if this is the last one."""
    total: int
    """How many there are on all pages."""
    is_total_exact: bool
    """Whether that is the number; if not, it is a lower bound."""


class Counts(RootModel[dict[str, dict[str, int]]]):
    """Numbers of runs by workflow and status."""


class RunDetails(Answer):
    """A run as it is now."""

    run_id: str
    """Id of the run."""
    workflow_name: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    created_at: str
    """When it was recorded."""
    updated_at: str
    """When something happened to it last."""
    status: _Status
    """What it does."""
    suspended_paths: JsonObject
    """Where in the graph it waits for somebody."""
    resume_labels: JsonObject
    """What its suspensions call themselves."""
    waiting_paths: JsonObject
    """Nothing; kept for older clients."""


class FiredRun(Answer):
    """How the run of a firing stands. Times are milliseconds since 1970."""

    status: _Status
    """Its status."""
    started_at: int
    """When it was started."""
    completed_at: int | None = None
    """When it ended, if it has."""
    duration_ms: int | None = None
    """How long that took."""
    error: str | None = None
    """Why it failed, if it has."""


class ScheduleInfo(Answer):
    """A schedule. Times are milliseconds since 1970."""

    id: str
    """Its id."""
    workflow_id: str
    """What it starts."""
    cron: str | None = None
    """Its cron expression, if it has one."""
    every_ms: int | None = None
    """Its interval, if it has one."""
    at: int | None = None
    """Its one time, if it fires once."""
    timezone: str
    """The IANA zone of `cron`."""
    start: int | None = None
    """No firing before this time."""
    end: int | None = None
    """No firing for a time after this one."""
    jitter_ms: int
    """By less than this each firing is put off."""
    overlap: Literal["skip", "queue", "cancel", "allow"]
    """What a firing does while the run before it has not ended."""
    catch_up: Literal["one", "all", "none"]
    """What becomes of times at which no worker lived."""
    input_data: Any = None
    """The input of its runs."""
    initial_state: Any = None
    """Their initial state."""
    request_context: JsonObject
    """What all their steps can read."""
    resource_id: str | None = None
    """Whose runs they are."""
    tags: list[str]
    """Words to find them by."""
    metadata: JsonObject
    """The author's data."""
    declared: bool
    """Whether it stands in the code of the workflow."""
    status: Literal["active", "paused", "ended", "retired"]
    """Whether it fires, and if not, why."""
    next_fire_at: int | None = None
    """The next time that it fires for."""
    last_fire_at: int | None = None
    """The time of its latest firing."""
    last_run_id: str | None = None
    """The run of that firing."""
    last_run: FiredRun | None = None
    """How it stands; left out if it is no longer kept."""
    waiting: int
    """How many firings wait for a run to end."""
    created_at: int
    """When it was recorded."""
    updated_at: int
    """When it was changed last, other than by firing."""


class ScheduleList(Answer):
    """Schedules in the order of their ids."""

    schedules: list[ScheduleInfo]
    """The schedules."""
    after: str | None
    """What asks for the next page; none if this is the last one."""


class Claim(Answer):
    """A run that was asked for."""

    schedule_id: str
    """Id of the schedule."""
    claim_id: str
    """Id of the run."""
    scheduled_fire_at: int
    """When it was asked for."""
    number: int
    """Number of the trigger."""


class Trigger(Answer):
    """What became of one time of a schedule, or of several that were missed together."""

    id: str
    """Its id."""
    number: int
    """1 for the first one of the schedule, and so on."""
    schedule_id: str
    """Id of the schedule."""
    trigger_kind: Literal["schedule", "manual"]
    """Whether its time had come, or somebody asked for it."""
    scheduled_fire_at: int
    """The time, or the first of them."""
    until: int
    """The time, or the last of them."""
    count: int | None = None
    """How many times these are; none for very many."""
    actual_fire_at: int
    """When it was decided."""
    outcome: Literal["fired", "queued", "skipped", "failed"]
    """What became of it."""
    run_id: str | None = None
    """The run."""
    run: FiredRun | None = None
    """How it stands; left out if it is no longer kept."""
    reason: str = ""
    """Why there is no run, or not yet."""


class TriggerList(Answer):
    """Triggers, the latest first."""

    triggers: list[Trigger]
    """The triggers."""


@immutable
class _Responses:
    """Which refusals each kind of route declares."""

    read: dict[int | str, dict[str, Any]]
    find: dict[int | str, dict[str, Any]]
    change: dict[int | str, dict[str, Any]]
    wait: dict[int | str, dict[str, Any]]
    drive: dict[int | str, dict[str, Any]]
    drive_and_wait: dict[int | str, dict[str, Any]]


_NOT_FOUND: Final = 404


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    texts = {
        400: "The request does not have the declared shape, or data does not fit its type.",
        401: "No token, or one that is unknown or expired.",
        403: "The token does not allow this, the run is somebody else's, or the request comes from a foreign page.",
        404: "There is no such workflow or run.",
        408: "The body comes too slowly.",
        409: "The run is not in a state in which this can be done.",
        413: "The body, or a value in it, is too large.",
        503: "The store does not answer; try again.",
        504: "It takes longer than a request may; the run goes on.",
    }
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Failure, "description": texts[status]} for status in statuses
    }
    if _NOT_FOUND in refusals:  # a path that is none is answered as in the reference
        refusals[_NOT_FOUND]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return refusals


RESPONSES: Final = _Responses(
    read=_refusals(400, 401, 403, 503),
    find=_refusals(400, 401, 403, 404, 503),
    change=_refusals(400, 401, 403, 404, 408, 409, 413, 503),
    wait=_refusals(400, 401, 403, 404, 408, 409, 413, 503, 504),
    drive=_refusals(400, 401, 403, 404, 408, 409, 413, 503),
    drive_and_wait=_refusals(400, 401, 403, 404, 408, 409, 413, 503, 504),
)
