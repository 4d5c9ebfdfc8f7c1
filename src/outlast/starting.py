"""What a caller hands over to start a run, checked as a whole before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal, cast, get_args

from outlast.engines.base import StartRequest
from outlast.engines.perform import DEFAULT_PAYLOAD_LIMIT
from outlast.errors import ConfigurationError, InputError, PayloadTooLargeError, Problem
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.limit import UnusableKeyError
from outlast.graph.schema import Schema
from outlast.graph.state import StateType
from outlast.immutable import frozen
from outlast.instant import to_ms
from outlast.sealing import PREFIX, current_disclosure
from outlast.storage.flow import HIGHEST_PRIORITY, Flow, Gate
from outlast.storage.identity import Identity, WhenFinished, WhileRunning
from outlast.trace import UNTRACED
from outlast.tracing import TracingOptions, check_tracing
from outlast.values import InvalidValueError, JsonValue, decode, encode, is_text

__all__ = [
    "Idempotency",
    "check_context",
    "check_flag",
    "check_state",
    "check_tags",
    "check_text",
    "encode_value",
    "flow_of",
    "make_request",
    "make_requests",
    "milliseconds_of",
    "misplaced_input",
    "start_within_ms",
    "unstored_keys",
    "without",
]

_LONGEST: Final = timedelta(days=365 * 3_000)
_MOST_TAGS: Final = 100
_LONGEST_TEXT: Final = 200
_MOST_PROBLEMS: Final = 20
"""How many are named when many starts are checked at once."""
_SCOPES: Final = ("workflow", "resource")
_WHILE_RUNNING: Final[tuple[WhileRunning, ...]] = get_args(WhileRunning)
_WHEN_FINISHED: Final[tuple[WhenFinished, ...]] = get_args(WhenFinished)
_OPTIONS: Final = (
    "input_data",
    "initial_state",
    "request_context",
    "output_options",
    "run_id",
    "resource_id",
    "tags",
    "delay",
    "start_at",
    "start_within",
    "priority",
    "idempotency_key",
    "per_step",
    "tracing_options",
)
"""What an item of `start_many` may hold."""


@frozen
class Idempotency:
    """A key that makes a start safe to repeat: it stands for one run at a time (rule 2.5).

    The key is held from the start on, for `keep`, and beyond that as long as its run has not ended. The same key with
    another input or initial state raises `IdempotencyConflictError`.
    """

    key: str
    """The key, as an order number or the id of a request; 1 to 200 characters."""
    scope: Literal["workflow", "resource"] = "workflow"
    """Within what it is unique: the workflow, or the workflow and the `resource_id` of the run."""
    keep: timedelta = timedelta(days=1)
    """How long it is held at least."""
    while_running: WhileRunning = "return"
    """While its run has not ended: `return` that run, `reject` with `RunExistsError`, or `replace` it: it is canceled
    and the new one starts."""
    when_finished: WhenFinished = "return"
    """When its run has ended: `return` that run, `reject`, `rerun` (start the new one), or `rerun_if_failed` (the same
    unless it ended with success)."""


def make_request(  # noqa: PLR0913 - the options of a start, all by name
    workflow: CommittedWorkflow[Any, Any],
    *,
    run_id: str,
    resource_id: str | None,
    input_data: object = None,
    initial_state: object = None,
    request_context: object = None,
    include_state: bool = False,
    tags: Sequence[str] = (),
    delay: timedelta | float | None = None,
    start_at: datetime | None = None,
    start_within: timedelta | float | None = None,
    idempotency_key: str | Idempotency | None = None,
    priority: int = 0,
    per_step: bool = False,
    tracing_options: TracingOptions | None = None,
    unstored: Collection[str] = (),
) -> StartRequest:
    """Check everything about a start. Entries of the request context whose keys are `unstored` are left out.

    Raises:
        InputError: Something does not fit; names what, and each path in it.
    """
    raw = encode_value(workflow.input, input_data, "input_data")
    state = check_state(workflow.state, initial_state)
    identity = None
    if idempotency_key is not None:
        identity = _identity(idempotency_key, workflow.id, resource_id, raw, state)
    if per_step is not False:
        check_flag(per_step, "per_step")
    is_immediate = delay is None and start_at is None
    delay_ms, start_at_ms = (None, None) if is_immediate else _when(delay, start_at)
    # By position, as what every run makes is made: a class that is called by name is called through a dict.
    return StartRequest(
        workflow,
        run_id,
        resource_id,
        raw,
        check_context(workflow.request_context, request_context, unstored),
        state,
        include_state,
        delay_ms,
        start_at_ms,
        check_tags(tags) if tags else (),
        None if start_within is None else start_within_ms(start_within),
        identity,
        per_step,
        UNTRACED if tracing_options is None else check_tracing(tracing_options),
        flow_of(workflow, raw, priority) if workflow.limits or priority != 0 else None,
    )


def flow_of(workflow: CommittedWorkflow[Any, Any], raw: bytes | None, priority: object = 0) -> Flow | None:
    """Return the priority and limits of a run; None if it has neither.

    Args:
        workflow: Its workflow.
        raw: Its input; None if it begins at another place than the start: then its keys are null.
        priority: Its priority.

    Raises:
        InputError: The priority is none, or the input has no key for a limit.
    """
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > HIGHEST_PRIORITY:
        reason = f"a whole number from {-HIGHEST_PRIORITY} to {HIGHEST_PRIORITY} is needed, not {priority!r:.60}"
        raise InputError("priority", (Problem("", reason),))
    gates: list[Gate] = []
    for rule in workflow.limits:
        try:
            key = rule.key_of(workflow.input, raw) if raw is not None else None if rule.key is None else "null"
        except UnusableKeyError as error:
            raise InputError(f"the key of the limit for {rule.name}", (Problem("", str(error)),)) from error
        _refuse_sensitive_key(rule.name, key)
        gates.append(Gate(rule.name, key))
    return Flow(priority, tuple(gates)) if gates or priority else None


def _refuse_sensitive_key(name: str, key: str | None) -> None:
    disclosure = current_disclosure()
    if disclosure is not None and key is not None and (PREFIX in key or disclosure.hide(key) != key):
        reason = "it holds a sensitive value, and keys of limits are recorded in clear; take another value of the input"
        raise InputError(f"the key of the limit for {name}", (Problem("", reason),))


def make_requests(
    workflow: CommittedWorkflow[Any, Any],
    items: object,
    *,
    new_id: Callable[[], str],
    unstored: Collection[str] = (),
) -> list[StartRequest]:
    """Check everything about many starts, before any of them is made.

    Raises:
        InputError: Something does not fit; names the item, what, and each path in it.
    """
    if isinstance(items, str | Mapping) or not isinstance(items, Sequence):
        reason = f"a list is needed, as [dict(input_data=1), dict(input_data=2)], not {items!r:.60}"
        raise InputError("start_many", (Problem("", reason),))
    requests: list[StartRequest] = []
    problems: list[Problem] = []
    for index, item in enumerate(cast("Sequence[object]", items)):
        try:
            requests.append(_request_of(workflow, item, new_id, unstored))
        except InputError as error:
            problems += (Problem(_place(index, error.subject, each.path), each.reason) for each in error.problems)
            if len(problems) >= _MOST_PROBLEMS:
                break
    problems += _doubles(requests) if not problems else []
    if problems:
        raise InputError("start_many", tuple(problems))
    return requests


def _request_of(
    workflow: CommittedWorkflow[Any, Any], item: object, new_id: Callable[[], str], unstored: Collection[str]
) -> StartRequest:
    if not isinstance(item, Mapping):
        raise InputError("", (Problem("", f"a dict of the options of a start is needed, not {item!r:.60}"),))
    options = dict(cast("Mapping[str, Any]", item))
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise InputError("", (Problem("", f"{unknown[0]!r:.60} is none of {', '.join(_OPTIONS)}"),))
    for name in ("run_id", "resource_id"):
        if options.get(name) is not None:
            check_text(options[name], name)
    options["include_state"] = shows_state(options.pop("output_options", None))
    options["run_id"] = options.get("run_id") or new_id()
    options.setdefault("resource_id", None)
    return make_request(workflow, unstored=unstored, **options)


def _place(index: int, subject: str, path: str) -> str:
    """Return where in the list something is wrong, as `[3].input_data.items[2]`."""
    place = f"[{index}].{subject}" if subject else f"[{index}]"
    return f"{place}{path}" if path.startswith("[") or not path else f"{place}.{path}"


def _doubles(requests: Sequence[StartRequest]) -> list[Problem]:
    """Return what is wrong with items that mean the same run as one before them."""
    first: dict[object, int] = {}
    problems: list[Problem] = []
    for index, request in enumerate(requests):
        names: list[tuple[str, object]] = [("run_id", request.run_id)]
        if request.identity is not None:
            names.append(("idempotency_key", (request.identity.scope, request.identity.key)))
        for name, value in names:
            if (earlier := first.setdefault((name, value), index)) != index:
                problems.append(Problem(f"[{index}].{name}", f"the same as that of [{earlier}]"))
    return problems[:_MOST_PROBLEMS]


def encode_value(schema: Schema[Any], value: object, subject: str) -> bytes:
    """Validate a caller's value and return it as JSON.

    Raises:
        InputError: It does not fit; names each path.
        PayloadTooLargeError: It is larger than the limit.
    """
    try:
        raw = schema.encode(value)
        if (disclosure := current_disclosure()) is not None and not schema.is_sensitive:
            raw = disclosure.admit(raw)
    except InvalidValueError as error:
        problems = error.problems
        if value is None:  # as it is where it was left out
            problems = tuple(Problem(each.path, f"{each.reason}; nothing was given") for each in problems)
        raise InputError(subject, problems) from None
    if len(raw) > DEFAULT_PAYLOAD_LIMIT:
        raise PayloadTooLargeError(subject, len(raw), DEFAULT_PAYLOAD_LIMIT)
    return raw


def misplaced_input(verb: str) -> InputError:
    """Return what is said to whoever gave the input of a start without its name, which everybody does once."""
    return InputError("input_data", (Problem("", f"it is given by name, as run.{verb}(input_data=5)"),))


def check_flag(value: object, name: str) -> None:
    """Refuse what is neither True nor False: a text that says no would count as yes.

    Raises:
        InputError: It is something else.
    """
    if not isinstance(value, bool):
        raise InputError(name, (Problem("", f"True or False is needed, not {value!r:.60}"),))


def check_text(value: object, name: str) -> None:
    """Refuse an id that is not a usable text.

    Raises:
        InputError: It is not a text, is empty, too long, or holds control characters.
    """
    if not _is_text(value):
        reason = f"needs 1 to {_LONGEST_TEXT} printable characters, not {value!r:.60}"
        raise InputError(name, (Problem("", reason),))


def check_run_id(value: object, name: str = "run_id") -> None:
    """Refuse what cannot be the id of any run (or of what `name` says), however it was made.

    Raises:
        InputError: It is not a text, or none that can be written as UTF-8.
    """
    if not is_text(value):
        raise InputError(name, (Problem("", f"needs a text, not {value!r:.60}"),))


def shows_state(options: object) -> bool:
    """Return whether results of a run show its state.

    Raises:
        InputError: These are no `OutputOptions`.
    """
    if options is None:
        return False
    shows = getattr(options, "include_state", None)
    if not isinstance(shows, bool):
        reason = f"needs OutputOptions(include_state=True) or none, not {options!r:.60}"
        raise InputError("output_options", (Problem("", reason),))
    return shows


def check_tags(tags: object) -> tuple[str, ...]:
    """Return tags, each once, in the order given.

    Raises:
        InputError: They are not a list of usable texts, or too many.
    """
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise InputError("tags", (Problem("", f"a list of texts is needed, as ['urgent'], not {tags!r:.60}"),))
    known = cast("Sequence[object]", tags)
    reason = f"needs 1 to {_LONGEST_TEXT} printable characters"
    if problems := tuple(Problem(f"[{n}]", reason) for n, tag in enumerate(known) if not _is_text(tag)):
        raise InputError("tags", problems)
    once = tuple(dict.fromkeys(cast("Sequence[str]", tags)))
    if len(once) > _MOST_TAGS:
        raise InputError("tags", (Problem("", f"a run has at most {_MOST_TAGS} tags, not {len(once)}"),))
    return once


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()


def _identity(
    given: object, workflow_id: str, resource_id: str | None, raw: bytes, state: Mapping[str, JsonValue]
) -> Identity:
    wish = given if isinstance(given, Idempotency) else Idempotency(key=cast("str", given))
    check_text(wish.key, "idempotency_key")
    for name, value, allowed in (
        ("scope", wish.scope, _SCOPES),
        ("while_running", wish.while_running, _WHILE_RUNNING),
        ("when_finished", wish.when_finished, _WHEN_FINISHED),
    ):
        if value not in allowed:
            raise InputError("idempotency_key", (Problem(name, f"{value!r:.60} is none of {', '.join(allowed)}"),))
    keep = cast("object", wish.keep)
    if not isinstance(keep, timedelta) or not timedelta() <= keep <= _LONGEST:
        reason = f"a timedelta is needed, not negative and below 3,000 years, not {wish.keep!r:.60}"
        raise InputError("idempotency_key", (Problem("keep", reason),))
    if wish.scope == "resource" and resource_id is None:
        reason = "the scope is the resource, and the run has none; give create_run a resource_id"
        raise InputError("idempotency_key", (Problem("scope", reason),))
    scope = [workflow_id] if wish.scope == "workflow" else [workflow_id, resource_id]
    return Identity(
        scope=json.dumps(scope),
        key=wish.key,
        input_hash=_hash_of(raw, state),
        keep_ms=wish.keep // timedelta(milliseconds=1),
        while_running=wish.while_running,
        when_finished=wish.when_finished,
    )


def _hash_of(raw: bytes, state: Mapping[str, JsonValue]) -> bytes:
    """Return what tells inputs apart; of sensitive ones nobody can guess it who lacks the keys."""
    disclosure = current_disclosure()
    if disclosure is not None:
        raw, state = disclosure.open(raw), cast("dict[str, JsonValue]", decode(disclosure.open(encode(dict(state)))))
    meaning = json.dumps([decode(raw), dict(state)], sort_keys=True)  # equal objects, whatever the order of their keys
    return sha256(meaning.encode()).digest() if disclosure is None else disclosure.digest(meaning.encode())


def _when(delay: object, start_at: object) -> tuple[int | None, int | None]:
    """Return how long to wait, or until when, in milliseconds."""
    if delay is not None and start_at is not None:
        raise InputError("start_at", (Problem("", "give either delay or start_at, not both"),))
    if delay is None:
        if not isinstance(start_at, datetime) or start_at.tzinfo is None:
            reason = f"a datetime with a time zone is needed, as datetime.now(UTC), not {start_at!r:.60}"
            raise InputError("start_at", (Problem("", reason),))
        return None, to_ms(start_at)
    return milliseconds_of(delay, "delay"), None


def start_within_ms(value: object) -> int:
    """Return how long a run may wait for its start, in milliseconds.

    Raises:
        InputError: It is no length of time, or none is left.
    """
    milliseconds = milliseconds_of(value, "start_within")
    if not milliseconds:
        raise InputError("start_within", (Problem("", "no worker can begin a run within no time; give it some"),))
    return milliseconds


def milliseconds_of(value: object, name: str) -> int:
    """Return a length of time that a caller gives, as a timedelta or in seconds.

    Raises:
        InputError: It is none, is negative, or longer than 3,000 years.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    longest = _LONGEST.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= longest:
        reason = f"seconds or a timedelta are needed, at least 0 and below 3,000 years, not {value!r:.60}"
        raise InputError(name, (Problem("", reason),))
    return round(seconds * 1000)


def check_state(declared: StateType | None, value: object) -> dict[str, JsonValue]:
    """Validate a state as a whole, with defaults filled in. Where nothing is declared it may be any object of JSON.

    Raises:
        InputError: It does not fit; names each path.
        PayloadTooLargeError: It is larger than the limit.
    """
    declared = declared or StateType.of(None)
    if value is None and declared.schema.is_json:
        return {}
    try:
        raw = declared.validate_initial({} if value is None else value)
    except InvalidValueError as error:
        raise InputError("initial_state", error.problems) from None
    if len(raw) > DEFAULT_PAYLOAD_LIMIT:
        raise PayloadTooLargeError("initial_state", len(raw), DEFAULT_PAYLOAD_LIMIT)
    return cast("dict[str, JsonValue]", decode(raw))


def check_context(schema: Schema[Any], value: object, unstored: Collection[str]) -> dict[str, JsonValue]:
    """Validate the request context that a run is started with, and leave out the keys that are not recorded.

    Raises:
        InputError: It does not fit; names each path.
        PayloadTooLargeError: It is larger than the limit.
    """
    if schema.is_json and not value:
        return {}
    context = decode(encode_value(schema, {} if value is None else value, "request_context"))
    if not isinstance(context, dict):
        raise InputError("request_context", (Problem("", "an object is needed"),))
    return without(context, unstored)


def unstored_keys(names: object) -> frozenset[str]:
    """Return the keys of request contexts that are not recorded.

    Raises:
        ConfigurationError: They are no collection of texts.
    """
    if isinstance(names, Collection) and not isinstance(names, str):
        given = cast("Collection[object]", names)
        keys = [each for each in given if isinstance(each, str)]
        if len(keys) == len(given):
            return frozenset(keys)
    message = f"unstored_context={names!r:.60} must be a list of keys, as ['authorization']"
    raise ConfigurationError(message)


def without(context: dict[str, JsonValue], unstored: Collection[str]) -> dict[str, JsonValue]:
    """Leave out of a request context the keys that are not recorded."""
    return {key: value for key, value in context.items() if key not in unstored} if unstored else context
