"""Search attributes: what of a run Temporal's own lists know, beside what they know of every workflow.

They are registered once in a namespace. Where that is not possible, runs are started without them, and nobody misses
anything but lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from outlast.core.status import RunStatus
from outlast.errors import PayloadTooLargeError
from outlast.instant import from_ms

__all__ = [
    "CREATED",
    "EXECUTION",
    "GRAPH",
    "REGISTERED",
    "RESOURCE",
    "STATUS",
    "TAGS",
    "attributes_of",
    "later",
    "plain",
    "read_plain",
    "shown_status",
]

STATUS: Final = SearchAttributeKey.for_keyword("OutlastStatus")
"""Status of a run while its workflow is open. What an ended one came to, the workflow's own status tells."""
RESOURCE: Final = SearchAttributeKey.for_keyword("OutlastResource")
"""Whose run it is."""
TAGS: Final = SearchAttributeKey.for_keyword_list("OutlastTags")
"""Words to find it by."""
GRAPH: Final = SearchAttributeKey.for_keyword("OutlastGraph")
"""Fingerprint of the graph that it is on."""
CREATED: Final = SearchAttributeKey.for_datetime("OutlastCreatedAt")
"""When it was started, if it went on in another workflow since."""
EXECUTION: Final = SearchAttributeKey.for_int("OutlastExecution")
"""Which execution of the run this is, if it is not the first."""

_KEYWORD: Final = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
REGISTERED: Final[Mapping[str, IndexedValueType.ValueType]] = {
    STATUS.name: _KEYWORD,
    RESOURCE.name: _KEYWORD,
    TAGS.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    GRAPH.name: _KEYWORD,
    CREATED.name: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    EXECUTION.name: IndexedValueType.INDEXED_VALUE_TYPE_INT,
}
"""Names and types, as a namespace must know them."""

_LARGEST: Final = 2_000
"""Most bytes of one attribute; servers refuse more than 2 kB."""
_LONG_WAIT: Final = 10_000
"""Milliseconds. Runs that wait for less than that are listed as running: each change of the status costs an event."""


def plain(text: str) -> str:
    """Return a text as attributes hold it: queries cannot name every character of a text."""
    return "".join(each if each not in "'\"\\%" else quote(each, safe="") for each in text)


def read_plain(stored: str) -> str:
    """Return what `plain` was given."""
    return unquote(stored)


def attributes_of(
    *, fingerprint: str, resource_id: str | None, tags: Sequence[str], is_delayed: bool
) -> TypedSearchAttributes:
    """Return what a run is started with.

    Raises:
        PayloadTooLargeError: It has more tags than the server takes.
    """
    words = [plain(tag) for tag in tags]
    size = sum(len(word.encode()) + 3 for word in words)
    if size > _LARGEST:
        raise PayloadTooLargeError("tags of the run", size, _LARGEST)
    status = RunStatus.PENDING if is_delayed else RunStatus.RUNNING
    pairs = [SearchAttributePair(STATUS, status.value), SearchAttributePair(GRAPH, fingerprint)]
    if resource_id is not None:
        pairs.append(SearchAttributePair(RESOURCE, plain(resource_id)))
    found: list[SearchAttributePair[str] | SearchAttributePair[Sequence[str]]] = [*pairs]
    if words:
        found.append(SearchAttributePair(TAGS, words))
    return TypedSearchAttributes(found)


def later(created_at_ms: int, execution: int) -> list[SearchAttributePair[datetime] | SearchAttributePair[int]]:
    """Return what a workflow is started with beside that in which a run goes on, or its next execution begins."""
    created = SearchAttributePair(CREATED, from_ms(created_at_ms))
    return [created, SearchAttributePair(EXECUTION, execution)] if execution else [created]


def shown_status(status: RunStatus, *, wait_ms: int) -> RunStatus:
    """Return the status that lists show of an open run.

    Args:
        status: What it is doing.
        wait_ms: How long it is until its next timer.
    """
    return RunStatus.RUNNING if status is RunStatus.WAITING and wait_ms < _LONG_WAIT else status
