"""Search attributes: what of a run goes into queries, and what a server takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast import PayloadTooLargeError
from outlast.core.status import RunStatus
from outlast.engines.temporal.attributes import (
    EXECUTION,
    REGISTERED,
    RESOURCE,
    STATUS,
    TAGS,
    attributes_of,
    later,
    plain,
    read_plain,
    shown_status,
)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_named_in_a_query(text: str) -> None:
    """Quotes and backslashes would end the text there."""
    stored = plain(text)

    assert not set(stored) & set("'\"\\")
    assert read_plain(stored) == text


def test_run_is_started_with_what_lists_know_of_it() -> None:
    found = attributes_of(fingerprint="f", resource_id="o'neill", tags=("a%", "b"), is_delayed=True)

    assert {pair.key.name for pair in found} <= REGISTERED.keys()
    assert (found[STATUS], found[RESOURCE], found[TAGS]) == ("pending", "o%27neill", ["a%25", "b"])
    assert RESOURCE not in attributes_of(fingerprint="f", resource_id=None, tags=(), is_delayed=False)


def test_tags_that_the_server_does_not_take_are_refused() -> None:
    with pytest.raises(PayloadTooLargeError, match="tags of the run"):
        attributes_of(fingerprint="f", resource_id=None, tags=["x" * 1_000, "y" * 1_000], is_delayed=False)


def test_only_a_later_execution_says_its_number() -> None:
    assert EXECUTION not in {pair.key for pair in later(1, 0)}
    assert [pair.value for pair in later(1, 2)][-1] == 2


@pytest.mark.parametrize("status", RunStatus)
def test_short_waits_are_not_listed(status: RunStatus) -> None:
    """Each change of the status costs an event."""
    short = RunStatus.RUNNING if status is RunStatus.WAITING else status

    assert (shown_status(status, wait_ms=9_999), shown_status(status, wait_ms=10_000)) == (short, status)
