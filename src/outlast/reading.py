"""Finding runs and reading them in part: what callers ask for, and what they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from outlast.core.status import RunStatus
from outlast.engines.base import Engine
from outlast.errors import InputError, Problem
from outlast.failures import FailureInfo
from outlast.graph.schema import Schema
from outlast.immutable import frozen, new_dict
from outlast.instant import from_ms, to_ms
from outlast.results import StepResult, read_result
from outlast.sealing import disclosure_for
from outlast.starting import check_tags, check_text
from outlast.storage.listing import RunQuery, RunSummary
from outlast.values import JsonValue

__all__ = ["Field", "RunDetails", "RunInfo", "RunPage", "StatusFilter", "find_details", "list_runs", "make_query"]

Out_co = TypeVar("Out_co", covariant=True)

Field: TypeAlias = Literal["input", "steps", "result", "error", "suspended", "state"]
"""A part of a run that its journal tells."""
StatusFilter: TypeAlias = RunStatus | str | Sequence[RunStatus | str] | None
"""One status, several, or all."""

_FIELDS: Final[tuple[Field, ...]] = get_args(Field)
_LARGEST_PAGE: Final = 1_000


@frozen
class RunInfo:
    """A run as lists show it."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    status: RunStatus
    """What it is doing, or how it ended."""
    execution: int
    """Its latest execution: 0 for the first."""
    created_at: datetime
    """When it was recorded (aware, UTC)."""
    updated_at: datetime
    """When its latest event was recorded (aware, UTC)."""
    tags: tuple[str, ...] = ()
    """Its tags, in alphabetical order."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the wire form: JSON with camelCase keys and times in milliseconds since 1970."""
        return {
            "runId": self.run_id,
            "workflowId": self.workflow_id,
            "resourceId": self.resource_id,
            "status": self.status.value,
            "execution": self.execution,
            "createdAt": to_ms(self.created_at),
            "updatedAt": to_ms(self.updated_at),
            "tags": list(self.tags),
        }


@frozen
class RunPage:
    """A page of runs, the newest first."""

    runs: Sequence[RunInfo]
    """The runs."""
    after: str | None
    """Hand it over as `after=` to get the next page; None if this is the last one. Its form means nothing."""
    total: int
    """How many runs match on all pages together: exact up to 10,000, and 10,000 if there are more."""
    is_total_exact: bool
    """Whether `total` is the number; if not, it is a lower bound."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the wire form: JSON with camelCase keys."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "after": self.after,
            "total": self.total,
            "isTotalExact": self.is_total_exact,
        }


@frozen
class RunDetails(RunInfo, Generic[Out_co]):
    """A run as it is known at one moment: all that lists show, and the parts that were asked for.

    A part that was not asked for is as if it were not there.
    """

    fields: tuple[Field, ...]
    """The parts that were asked for."""
    input: JsonValue = None
    """The validated input."""
    steps: Mapping[str, StepResult] = field(default_factory=new_dict)
    """Everything that has begun, by path; see `RunResult.steps`."""
    result: Out_co | None = None
    """With status `success`: what the workflow gave, decoded as its declared type."""
    error: FailureInfo | None = None
    """With status `failed`: why."""
    error_path: str = ""
    """With status `failed`: the path of the node whose failure it is; empty if it is the run's own."""
    suspended: Sequence[str] = ()
    """Paths of the nodes that wait to be resumed."""
    suspend_payload: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What these tell those who ask, by path."""
    state: Mapping[str, JsonValue] | None = None
    """The state of the run now, if `fields` names it or the run was started to show it."""


def make_query(  # noqa: PLR0913 - the conditions of a list, all by name
    *,
    workflow_id: str | None = None,
    status: StatusFilter = None,
    resource_id: str | None = None,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
    tags: Sequence[str] = (),
    search: str | None = None,
    after: str | None = None,
    per_page: int = 50,
) -> RunQuery:
    """Check the conditions of a list.

    Raises:
        InputError: One of them cannot be meant; names it.
    """
    for name, text in (("resource_id", resource_id), ("search", search)):
        if text is not None:
            check_text(text, name)
    if after is not None and not isinstance(cast("object", after), str):
        raise _wrong("after", f"a text is needed, as `page.after` holds it, not {after!r:.60}")
    if type(per_page) is not int or not 1 <= per_page <= _LARGEST_PAGE:
        raise _wrong("per_page", f"a number from 1 to {_LARGEST_PAGE:,} is needed, not {per_page!r:.60}")
    return RunQuery(
        workflow_id=workflow_id,
        statuses=_statuses(status),
        resource_id=resource_id,
        from_ms=_instant(from_date, "from_date"),
        to_ms=_instant(to_date, "to_date"),
        tags=check_tags(tags) if tags else (),
        search=search,
        after=after,
        limit=per_page,
    )


async def list_runs(engine: Engine, query: RunQuery) -> RunPage:
    """Return a page of runs.

    Raises:
        InputError: `after` was not told by a page of this store.
    """
    listing = await engine.list_runs(query)
    return RunPage(
        runs=[RunInfo(**_info(each)) for each in listing.runs],
        after=listing.after,
        total=listing.total,
        is_total_exact=listing.is_total_exact,
    )


async def find_details(
    engine: Engine, workflow_id: str, run_id: str, output: Schema[Any], fields: Sequence[Field] | None
) -> RunDetails[Any] | None:
    """Return a run of a workflow with the parts asked for, or None. Its journal is read only if one of them needs it.

    Raises:
        InputError: `fields` names something that is not there.
    """
    chosen = _chosen(fields)
    summary = await engine.summarize_run(run_id)
    if summary is None or summary.workflow_id != workflow_id:
        return None
    if not chosen:
        return RunDetails(**_info(summary), fields=chosen)
    history = await engine.load_history(run_id)
    if history is None:
        return None
    # The history was read last, so it counts where the two differ.
    info = _info(summary._replace(status=history.status, execution=history.execution))
    info["updated_at"] = from_ms(max(summary.updated_at_ms, history.records[-1].at_ms))
    is_asked = fields is not None and "state" in chosen  # by name: also if the run was not started to show it
    disclosure = disclosure_for(engine.sealers, workflow_id)
    read = read_result(history, output, with_state=is_asked, disclosure=disclosure)
    parts: dict[str, Any] = {name: getattr(read, name) for name in chosen}
    if "error" in chosen:
        parts["error_path"] = read.error_path
    if "suspended" in chosen:
        parts["suspend_payload"] = read.suspend_payload
    return RunDetails(**info, fields=chosen, **parts)


def _info(summary: RunSummary) -> dict[str, Any]:
    info = summary._asdict()
    info["created_at"], info["updated_at"] = from_ms(info.pop("created_at_ms")), from_ms(info.pop("updated_at_ms"))
    return info


def _chosen(fields: object) -> tuple[Field, ...]:
    if fields is None:
        return _FIELDS
    names = list(cast("Sequence[object]", fields)) if isinstance(fields, list | tuple | set | frozenset) else [fields]
    if unknown := [name for name in names if name not in _FIELDS]:
        raise _wrong("fields", f"{unknown[0]!r:.60} is none of {', '.join(_FIELDS)}")
    return tuple(name for name in _FIELDS if name in names)


def _statuses(status: object) -> tuple[RunStatus, ...]:
    if status is None:
        return ()
    given = list(cast("Sequence[object]", status)) if isinstance(status, list | tuple | set | frozenset) else [status]
    known = {each.value: each for each in RunStatus}
    for each in given:
        if not isinstance(each, str) or each not in known:
            raise _wrong("status", f"{each!r:.60} is none of {', '.join(known)}")
    return tuple(known[str(each)] for each in given)


def _instant(at: object, name: str) -> int | None:
    if at is None:
        return None
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise _wrong(name, f"a datetime with a time zone is needed, as datetime.now(UTC), not {at!r:.60}")
    return to_ms(at)


def _wrong(name: str, reason: str) -> InputError:
    return InputError(name, (Problem("", reason),))
